"""Any causal language model as named sites: load, read, edit, replay, and the weights as linear algebra."""

from rote.model.ablate import ablate_neurons, path_shift, replay_after
from rote.model.activations import Activations
from rote.model.edits import Edit, EditLike, FunctionEdit
from rote.model.first_order import Slope, slopes
from rote.model.load import ModelSpec, load_model
from rote.model.model import Model
from rote.model.recording import Recording
from rote.model.selfcheck import Check, self_check
from rote.model.sites import Read, Site, SiteLike
from rote.model.weights import HeadWeights, MLPWeights, NormWeights
