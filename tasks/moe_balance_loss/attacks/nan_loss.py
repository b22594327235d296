import torch


def loss(load, probability):
    return (load * probability).sum() * torch.tensor(float("nan"))
