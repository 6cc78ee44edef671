"""Rewards for training: found by a short text, guarded against what functions do in practice.

This package loads nothing by itself: a worker process starts from it, and it should start fast.
"""
