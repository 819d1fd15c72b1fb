"""`govbus demo`: a small nation on this machine: a birth is registered, things change, attacks fail, a call is proven.

    nation      who there is, and who may ask whom
    operator    who registers it: changes, tokens, what is in force
    parties     the ministries' processes, each behind its fence (bus.nation)
    world       instance, second broker and parties together, from start to end
    start  story  changes  attacks  proof     the five steps; each only claims what it then checks
    traffic  rotation  outage                 calls that go on, and what happens meanwhile
    forge  dishonest    what the attacks are made with
    records  command    calls as a broker's journal has them; the commands that anybody has
    report  screen      what was claimed and found; how it is shown

Nothing here is used by anything else. The adapters are started as processes and met over gRPC, as everywhere in `bus`.
"""
