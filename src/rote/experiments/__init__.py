"""The experiments, one file each, in the order in which a study runs them."""

from rote.experiments.base import Experiment, Reading, StackExperiment, Study, TextExperiment
from rote.experiments.class_neurons.measure import ClassNeurons
from rote.experiments.concatenation.measure import ConcatenationExperiment
from rote.experiments.direct_effects.measure import DirectEffectsExperiment
from rote.experiments.effective_model.measure import EffectiveModelExperiment
from rote.experiments.head_attention.measure import HeadAttentionExperiment
from rote.experiments.key_or_value.measure import KeyOrValueExperiment
from rote.experiments.known_facts.measure import KnownFactsExperiment
from rote.experiments.known_norms.measure import KnownNorms
from rote.experiments.layer_probes.measure import LayerProbes
from rote.experiments.linear_structure.measure import LinearStructure
from rote.experiments.local_processing.measure import LocalProcessing
from rote.experiments.lookup_window.measure import LookupWindowExperiment
from rote.experiments.nonlinear_excess.measure import NonlinearExcess
from rote.experiments.orthogonal_remainder.measure import OrthogonalRemainder
from rote.experiments.path_ablation.measure import PathAblation
from rote.experiments.readout.measure import ReadoutExperiment
from rote.experiments.shared_neurons.measure import SharedNeurons
from rote.experiments.value_inputs.measure import ValueInputsExperiment

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
