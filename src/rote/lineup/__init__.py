"""Controls whose mechanism is known, matched to the effective model of a study: one file per control."""

from rote.lineup.additive import Additive
from rote.lineup.and_gates import AndGates
from rote.lineup.build import CONTROLS, build_controls
from rote.lineup.class_booster import ClassBooster
from rote.lineup.control import Control, Member
from rote.lineup.hash_lookup import HashLookup
from rote.lineup.parallel import Parallel
from rote.lineup.partial_hash import PartialHash
from rote.lineup.shuffled import Shuffled, ShuffledMatched
from rote.lineup.single_step import SingleStep
from rote.lineup.target import Fit, Target
from rote.lineup.trained import Trained
