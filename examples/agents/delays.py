"""A whole agent: it tries delays one after the other and submits the one that scored best.

lra-design design --agent "python examples/agents/delays.py" --attempts 6 --out runs/delays
"""

import sys

sys.path.insert(0, ".")  # an agent starts in its workspace, where the desk is
import desk

SOURCE = '''"""The input and itself {delay} positions ago, each with a weight of its own."""
import torch.nn.functional as F
from lra_design import Mechanism
from torch import nn


class Delayed(Mechanism):
    def __init__(self, config):
        super().__init__(config)
        self.now = nn.Linear(config.d_model, config.d_model)
        self.then = nn.Linear(config.d_model, config.d_model)

    def forward(self, x, key_padding_mask=None):
        earlier = F.pad(x, (0, 0, {delay}, 0))[:, : x.shape[1]]
        return self.now(x) + self.then(earlier)
'''

best, chosen = -1.0, None
for delay in (1, 2, 4, 8, 16):
    source = SOURCE.format(delay=delay)
    if not desk.validate(source)["valid"]:
        continue
    accuracy = desk.evaluate(source, f"a delay of {delay}")["accuracy"]
    if accuracy is not None and accuracy > best:
        best, chosen = accuracy, source
if chosen is not None:
    desk.submit(chosen, "the best delay")
