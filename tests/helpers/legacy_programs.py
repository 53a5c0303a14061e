# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Programs that call ELMo as those of 2018 to 2021 did, one usage pattern each, for `test_legacy_programs.py`.

They use the variables `OPTIONS`, `WEIGHTS`, `SENTENCES`, and `FOLDER`, and assign arrays to `result`. Those with `Elmo`
also run under AllenNLP without changes. They use the result of the first call, which has no carried states.
"""

TAGGER = """
import torch
from allennlp.modules.elmo import Elmo, batch_to_ids

class Tagger(torch.nn.Module):
    def __init__(self, num_tags):
        super().__init__()
        self.elmo = Elmo(OPTIONS, WEIGHTS, 1, dropout=0)
        torch.manual_seed(0)
        self.lstm = torch.nn.LSTM(self.elmo.get_output_dim(), 6, batch_first=True, bidirectional=True)
        self.output = torch.nn.Linear(12, num_tags)

    def forward(self, sentences):
        embedded = self.elmo(batch_to_ids(sentences))
        hidden, _ = self.lstm(embedded["elmo_representations"][0])
        return self.output(hidden), embedded["mask"]

model = Tagger(3)
before = {name: value.clone() for name, value in model.named_parameters()}
optimizer = torch.optim.Adam(filter(lambda p: p.requires_grad, model.parameters()), lr=0.01)
scores, mask = model(SENTENCES)
loss = torch.nn.functional.cross_entropy(scores[mask], torch.zeros(int(mask.sum()), dtype=torch.long))
loss.backward()
optimizer.step()
changed = {name for name, value in model.named_parameters() if not torch.equal(before[name], value)}
mix_trains = all(name in changed for name in before if "scalar_mix" in name)
bilm_is_frozen = not any("_elmo_lstm" in name for name in changed)
result = [scores.detach().numpy(), mask.numpy(), [float(loss), float(mix_trains), float(bilm_is_frozen)]]
"""

TWO_REPRESENTATIONS = """
import torch
from allennlp.modules.elmo import Elmo, batch_to_ids

elmo = Elmo(options_file=OPTIONS, weight_file=WEIGHTS, num_output_representations=2, dropout=0)
first, second = elmo(batch_to_ids(SENTENCES))["elmo_representations"]
result = [(first + second).detach().numpy(), torch.cat([first, second], dim=2).detach().numpy()]
"""

THREE_INSTANCES = """
from allennlp.modules.elmo import Elmo, batch_to_ids

ids = batch_to_ids(SENTENCES)
result = []
for chosen in range(3):
    for low in (0, -9e10):
        parameters = [low, low, low]
        parameters[chosen] = 1
        elmo = Elmo(OPTIONS, WEIGHTS, 1, dropout=0.0, scalar_mix_parameters=parameters)
        result.append(elmo.forward(ids)["elmo_representations"][0].data.numpy())
"""

PARSER = """
import torch
from allennlp.modules.elmo import Elmo, batch_to_ids

class ElmoFeatures(torch.nn.Module):
    def __init__(self, size):
        super().__init__()
        self.elmo = Elmo(OPTIONS, WEIGHTS, num_output_representations=1, requires_grad=False, do_layer_norm=False,
                         keep_sentence_boundaries=True, dropout=0.)
        torch.manual_seed(1)
        self.project = torch.nn.Linear(self.elmo.get_output_dim(), size, bias=False)

    def forward(self, sentences):
        output = self.elmo.forward(batch_to_ids(sentences))
        vectors = self.project(output["elmo_representations"][0])
        return torch.cat([row[: int(count)] for row, count in zip(vectors, output["mask"].sum(1))])

result = [ElmoFeatures(5).eval()(SENTENCES).detach().numpy()]
"""

CACHED_WORDS = """
import torch
from allennlp.modules.elmo import Elmo, batch_to_ids

vocabulary = ["<pad>"] + sorted({word for sentence in SENTENCES for word in sentence})
elmo = Elmo(OPTIONS, WEIGHTS, 1, vocab_to_cache=vocabulary, dropout=0)
longest = max(len(sentence) for sentence in SENTENCES)
words = torch.tensor([[vocabulary.index(w) for w in s] + [0] * (longest - len(s)) for s in SENTENCES])
output = elmo(batch_to_ids(SENTENCES), words)
result = [output["elmo_representations"][0].detach().numpy(), output["mask"].numpy()]
"""

PARAGRAPHS = """
import torch
from allennlp.modules.elmo import Elmo, batch_to_ids

elmo = Elmo(OPTIONS, WEIGHTS, 1, dropout=0, do_layer_norm=True)
ids = batch_to_ids(SENTENCES)
paragraphs = ids.view(2, len(SENTENCES) // 2, ids.size(1), 50)
output = elmo(paragraphs)
vectors, mask = output["elmo_representations"][0], output["mask"].float()
means = (vectors * mask.unsqueeze(-1)).sum(2) / mask.sum(2, keepdim=True)
result = [means.detach().numpy()]
"""

FINE_TUNING = """
import torch
from allennlp.modules.elmo import Elmo, batch_to_ids

elmo = Elmo(OPTIONS, WEIGHTS, 1, requires_grad=True, dropout=0)
elmo.train()
output = elmo(batch_to_ids(SENTENCES))["elmo_representations"][0]
output.pow(2).mean().backward()
gradients = [parameter.grad for parameter in elmo.parameters()]
total = sum(float(gradient.pow(2).sum()) for gradient in gradients) ** 0.5
result = [output.detach().numpy(), [total, float(all(gradient is not None for gradient in gradients))]]
"""

SENTENCE_SIMILARITY = """
import numpy as np
from allennlp.commands.elmo import ElmoEmbedder

elmo = ElmoEmbedder(options_file=OPTIONS, weight_file=WEIGHTS, cuda_device=-1)
vectors = [np.mean(np.average(layers, axis=0), axis=0) for layers in elmo.embed_sentences(SENTENCES)]
unit = [vector / np.linalg.norm(vector) for vector in vectors]
result = [np.array([[a @ b for a in unit] for b in unit])]
"""

PROTEINS = """
from pathlib import Path
import torch
from allennlp.commands.elmo import ElmoEmbedder

embedder = ElmoEmbedder(Path(OPTIONS), Path(WEIGHTS), cuda_device=-1)
for _ in range(4):
    embedder.embed_sentence(list("MKTAYIAK"))
residues = torch.tensor(embedder.embed_sentence(list("SEQVENCE"))).sum(dim=0)
result = [residues.numpy(), residues.mean(dim=0).numpy()]
"""

PROBING = """
import json
import h5py
from allennlp.commands.elmo import ElmoEmbedder

with open(FOLDER + "/text.txt", "w") as text:
    text.writelines(" ".join(words) + "\\n" for words in SENTENCES)
with open(FOLDER + "/text.txt") as text:
    ElmoEmbedder(OPTIONS, WEIGHTS).embed_file(text, FOLDER + "/elmo.hdf5", output_format="all", batch_size=2)
result = []
with h5py.File(FOLDER + "/elmo.hdf5", "r") as file:
    index = json.loads(file.get("sentence_to_index")[0])
    for words in SENTENCES:
        result.append(file.get(index[" ".join(words)])[:])
"""

CONCATENATION = """
import torch
from allennlp.commands.elmo import ElmoEmbedder

ee = ElmoEmbedder(OPTIONS, WEIGHTS)
sentence_words = [list(words) for words in SENTENCES]
embeddings = ee.embed_batch(sentence_words)
result = []
for i, words in enumerate(sentence_words):
    tokens = []
    for token_idx in range(len(words)):
        layers = [torch.FloatTensor(embeddings[i][layer, token_idx, :]) for layer in range(3)]
        tokens.append(torch.cat(layers, 0))
    result.append(torch.stack(tokens).numpy())
result.append(ee.batch_to_embeddings(sentence_words)[0].numpy())
"""
