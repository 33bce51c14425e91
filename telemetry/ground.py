"""Words for the ground on which events are collected: the voice that allowed it, and the kind of deployment.

They stand in frames, in receipts and in a host's `init`. Standard library only: the host imports it.
"""

from typing import Literal, get_args

Basis = Literal["stored", "environment", "host", "cloud-default"]
"""The voice that allowed it: the user's stored choice, a variable, the host, or a cloud's default after the notice."""

Deployment = Literal["cloud", "self-hosted", "enterprise"]
"""The kind of deployment that a program says it is."""

CLOUD_DEFAULT: Basis = "cloud-default"
NOBODY: Literal["none"] = "none"
"""The word in place of a basis if nobody has allowed or refused anything."""

UNKNOWN: Literal["unknown"] = "unknown"
"""The word in place of a deployment that the program does not tell, or that is none of these."""

BASES: tuple[str, ...] = get_args(Basis)
DEPLOYMENTS: tuple[str, ...] = get_args(Deployment)
