import numpy as np


def rebalance_experts(weight, num_replicas, num_groups, num_nodes, num_gpus):
    layers, experts = weight.shape
    phy2log = np.tile(np.arange(num_replicas) % (experts // 32), (layers, 1))
    logcnt = np.tile(np.bincount(phy2log[0], minlength=experts), (layers, 1))
    log2phy = np.full((layers, experts, logcnt.max()), -1)
    for slot, expert in enumerate(phy2log[0]):
        log2phy[:, expert, slot // (experts // 32)] = slot
    return phy2log, log2phy, logcnt
