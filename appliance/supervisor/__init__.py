"""The supervisor: a small process, root's on a shared box, that starts runs as their trainers' own users.

    protocol    what can be asked, and its limits
    client      asking
    server      the socket: who asks, how much, how long
    keeper      the runs: queue, start, adopt, resume, end; and the audit log
    guarded     looking into folders that belong to others
    launch      the first thing that runs as the trainer

It trains nothing, reads no row, and imports no library that does. Without it (an installation without root)
runs are started by `appliance.training.control` in the user's own session, and nothing here is used.
"""
