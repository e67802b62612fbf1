"""What can be seen, what can be wanted, and opinions about both.

Nothing here knows a clock, a dice, a file or a network; see `policies.observation` for what comes in and
`policies.action` for what goes out.
"""
