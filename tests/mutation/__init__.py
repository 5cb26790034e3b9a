"""Mutation testing: plant small faults in the project's own Python, one at a time, and see whether a test fails.

`./build.py mutate [MODULE ...]` runs it; mutants.py makes the faults, runner.py plants them, known.txt names those that
no test can see, each with its reason.
"""
