"""The experiments, one file each, in the order in which a study runs them."""

from rote.experiments.base import Experiment, Reading, StackExperiment, Study, TextExperiment
from rote.experiments.class_neurons import ClassNeurons
from rote.experiments.concatenation import ConcatenationExperiment
from rote.experiments.direct_effects import DirectEffectsExperiment
from rote.experiments.effective_model import EffectiveModelExperiment
from rote.experiments.head_attention import HeadAttentionExperiment
from rote.experiments.key_or_value import KeyOrValueExperiment
from rote.experiments.known_facts import KnownFactsExperiment
from rote.experiments.known_norms import KnownNorms
from rote.experiments.layer_probes import LayerProbes
from rote.experiments.linear_structure import LinearStructure
from rote.experiments.local_processing import LocalProcessing
from rote.experiments.lookup_window import LookupWindowExperiment
from rote.experiments.nonlinear_excess import NonlinearExcess
from rote.experiments.orthogonal_remainder import OrthogonalRemainder
from rote.experiments.path_ablation import PathAblation
from rote.experiments.readout import ReadoutExperiment
from rote.experiments.shared_neurons import SharedNeurons
from rote.experiments.value_inputs import ValueInputsExperiment

EXPERIMENTS: tuple[Experiment, ...] = (
    KnownFactsExperiment(),
    DirectEffectsExperiment(),
    HeadAttentionExperiment(),
    ValueInputsExperiment(),
    KeyOrValueExperiment(),
    ReadoutExperiment(),
    ConcatenationExperiment(),
    LookupWindowExperiment(),
    EffectiveModelExperiment(),
    LayerProbes(),
    PathAblation(),
    LinearStructure(),
    KnownNorms(),
    SharedNeurons(),
    ClassNeurons(),
    NonlinearExcess(),
    OrthogonalRemainder(),
    LocalProcessing(),
)

__all__ = [
    "EXPERIMENTS",
    "ClassNeurons",
    "Experiment",
    "KnownNorms",
    "LayerProbes",
    "LinearStructure",
    "LocalProcessing",
    "NonlinearExcess",
    "OrthogonalRemainder",
    "PathAblation",
    "Reading",
    "SharedNeurons",
    "StackExperiment",
    "Study",
    "TextExperiment",
]
