"""A nation on one machine: members beside an instance, each a process of its own with its own home, keys and database.

    members     who there is, what each offers and holds, who may ask whom for which purpose: a table
    founding    what of it the registry does not know yet, as changes
    settled     what a nation was made with, remembered in the state directory
    places      where everything of it lies
    walls       a process for which nothing else is there: mounts of its own (Linux namespaces)
    fence       a process that can open its own files and TCP ports only (Linux Landlock)
    narrow      a process that makes no sockets which the fence does not see (seccomp)
    behind      commands behind all of these, with an environment that has nothing of the caller's
    reach       which TCP ports a member is to reach
    member      such a process, which enrols itself and then becomes its program
    server      the ministries' own PostgreSQL: one database and one role a member
    running     one member, kept alive
    part        all of it as a part of a running instance

For those who build on a running nation:

    Options(..., nation=True, people=N)        to bus.up.background.start_supervisor: starts it with the instance
    ready["nation"]                            what a start tells at its end: people, members, who waits and why
    members.PROGRAMS, GRANTS, MEMBERS          who there is; the paths are named: UNITS, POPULATION, HANOI, PORTAL, ...
    places.home(layout, path)                  has a config.yaml that bus.exchange takes
    places.portal_socket(layout)               where the portal is met
    places.portal_metadata(socket)             what it is sent with each call
    places.log_file(layout, path)              what a member's process says
    ask_supervisor(layout)["nation"]           pid, starts and what is in the way, for each member
    behind.openable(home, paths)               what a process behind that home's fence can open
    founding.founding(plan, ...)               one's own members and grants, recorded where they are missing

`govbus up --nation` starts it, and every later `govbus up` of the same state directory. Members' programs are processes
that are met over gRPC only, as everywhere in `bus`.
"""
