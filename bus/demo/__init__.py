"""`govbus demo`: a small nation on this machine, a birth registered across it, then attacks, then evidence.

    nation      who there is, and who may ask whom
    fence       a process that can open its own files only (Linux Landlock)
    parties     the ministries' processes, each behind its fence
    world       instance, broker and parties together, from start to end
    start  story  attacks  proof     the four steps; each only claims what it then checks
    forge  dishonest                 what the attacks are made with
    records     calls as a broker's journal has them
    report  screen                   what was claimed and found; how it is shown

Nothing here is used by anything else. The adapters are started as processes and met over gRPC, as everywhere in `bus`.
"""
