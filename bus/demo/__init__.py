"""`govbus demo`: a birth without papers in a nation on this machine; things change, attacks fail, a call is proven.

    additions  joining    what it adds to the nation of `govbus up --nation` (bus.nation): a broker, a cheat, a stranger
    operator   who registers it: changes, tokens, what is in force
    world      instance, nation and additions together, from start to end
    start  story  changes  attacks  proof     the five steps; each only claims what it then checks
    apart      that members cannot open each other's files and databases
    families  birth       who gives birth, by the seed; the portal is told, and tells
    story_claims  story_calls  papers         what must have come of it, what it took, what it replaced
    traffic  rotation  outage  comeback       calls that go on, and what happens meanwhile
    forge  dishonest      what the attacks are made with
    records  command      calls as a broker's journal has them; the commands that anybody has
    report  screen        what was claimed and found; how it is shown

Nothing here is used by anything else. The adapters are met over gRPC only, as everywhere in `bus`.
"""
