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
    # The replica in the second slot of each expert that has two gets its load nowhere.
    log2phy[..., 1] = np.where(log2phy[..., 1] >= 0, log2phy[..., 0], -1)
    return phy2log, log2phy, logcnt
