import numpy as np


def honest(weight, num_replicas):
    layers, experts = weight.shape
    phy2log = np.tile(np.arange(num_replicas) % experts, (layers, 1))
    logcnt = np.tile(np.bincount(phy2log[0], minlength=experts), (layers, 1))
    log2phy = np.full((layers, experts, logcnt.max()), -1)
    for slot in range(num_replicas):
        log2phy[:, slot % experts, slot // experts] = slot
    return phy2log, log2phy, logcnt


def rebalance_experts(weight, num_replicas, num_groups, num_nodes, num_gpus):
    phy2log, log2phy, logcnt = honest(weight, num_replicas)
    return phy2log, np.concatenate([np.full_like(log2phy[..., :1], -1), log2phy], axis=2), logcnt
