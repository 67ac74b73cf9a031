"""A connection to a Ray cluster, which may be this machine alone."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import cloudpickle

from rote.errors import InputError


def ray_module() -> Any:
    """The ray package, which is an optional extra; InputError where it is not installed."""
    try:
        import ray
    except ImportError as error:
        raise InputError("Ray is not installed; expected `pip install 'rote-lm[ray]'`, also on every node") from error
    return ray


@dataclass(kw_only=True, eq=False)
class Cluster:
    """`address` as in `Ray`; `n_cpus` of this machine, where it is the cluster; `modules` are pickled by value."""

    address: str | None
    n_cpus: int
    modules: Sequence[ModuleType]
    _connected_here: bool = False

    def connect(self) -> None:
        """The caller's own connection, where there is one, stays. InputError where there is no cluster, or no ray."""
        ray = ray_module()
        # what a user brought in a file is pickled by value for processes already: for nodes, which lack it, too
        brought = [sys.modules[name] for name in cloudpickle.list_registry_pickle_by_value() if name in sys.modules]
        for module in (*self.modules, *brought):
            ray.cloudpickle.register_pickle_by_value(module)
        if ray.is_initialized():
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # rote tells nobody that it is used
        address = self.address or os.environ.get("RAY_ADDRESS") or "local"
        here = {"num_cpus": self.n_cpus, "include_dashboard": False} if address == "local" else {}
        here_before = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(address=address, log_to_driver=False, logging_level="error", **here)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise InputError(f"no Ray cluster at {address}: {error}; start one with `ray start --head`") from error
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, here_before)  # a local cluster would make it an end without a word
        self._connected_here = True

    def disconnect(self) -> None:
        """From a cluster that this object connected to."""
        if self._connected_here:
            ray_module().shutdown()
            self._connected_here = False
