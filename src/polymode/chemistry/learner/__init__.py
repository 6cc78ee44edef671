"""The learner: from a prior and an oracle to a policy that finds many different good molecules.

Notation: ``p`` policy, ``q`` prior (the reference), ``r`` reward, ``sigma = 1 / beta`` in nats per
reward unit. Whatever is shaped ends in rewards ``r'``, and every objective drives the policy to
``log t = log q + sigma r'``, up to a constant.
"""
