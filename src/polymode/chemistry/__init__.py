"""Reinforcement learning of chemical language models: vocabulary, model, prior, oracle, learner."""
