"""The functions behind the layers, as in ``torch.nn.functional``: same names, arguments and defaults."""

from __future__ import annotations

from ..ops.activation import gelu, glu, log_softmax, relu, silu, softmax
from ..ops.attention import attention_weights, masked_softmax, scaled_dot_product_attention
from ..ops.cross_entropy import cross_entropy, nll_loss
from ..ops.dropout import dropout
from ..ops.elementwise import sigmoid, tanh
from ..ops.embedding import embedding
from ..ops.linear import linear
from ..ops.normalization import layer_norm, rms_norm
