"""Facts as put to a model: prompts as tokens, what it answers, which facts it knows, the known ones to be recalled."""

from rote.asking.known import KnownFacts, ask
from rote.asking.prompts import Forward, PromptSet, Scores
from rote.asking.recall import ABLATIONS, Recall
from rote.asking.tasks import TaskPrompt, TaskPrompts
