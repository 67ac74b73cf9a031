"""Stacks: anything with the interface of the effective model, so that every control runs through one code."""

from rote.stack.layers import StackLayer, matched, permuted
from rote.stack.readout import Readout
from rote.stack.stack import Entities, Stack, StackRun
