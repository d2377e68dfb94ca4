"""The `container` level: podman, or else docker."""

from __future__ import annotations

from proofrig.sandboxes.contained import ContainedSandbox
from proofrig.sandboxes.engine import Docker, Podman
from proofrig.sandboxes.sandbox import Image, Unavailable


class ContainerSandbox(ContainedSandbox):
    """Boxes that are containers. The first engine that gives one is taken; which, the key tells."""

    def __init__(self) -> None:
        super().__init__(Podman())

    async def prepare(self, image: Image) -> str:
        reasons = []
        for engine in (self.engine,) if self.key else (Podman(), Docker()):
            self.engine = engine
            try:
                return await super().prepare(image)
            except Unavailable as error:
                if not image.root:
                    raise
                reasons.append(str(error))
        raise Unavailable("\n".join(reasons))
