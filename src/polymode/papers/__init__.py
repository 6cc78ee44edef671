"""Remakes of what papers show, as plain results ready for JSON; `polymode.plots` draws them.

`figures` is the way in, `settings` what decides the numbers, `optima` the figures that are exact,
`plateaus` the one that trains.
"""
