"""PyTorch's texts of torch.cuda for numbers that are given: `python make_cuda.py >cuda.lua`. Needs no GPU."""
import torch
from torch.cuda import memory

GROUPS = ["allocation", "segment", "active", "inactive_split", "allocated_bytes", "reserved_bytes", "active_bytes",
          "inactive_split_bytes", "requested_bytes"]
CASES = {
    "small": lambda i, j, k: 17 * i + 5 * j + k,
    "middle": lambda i, j, k: (1 << 20) * (i + 1) + (1 << 14) * (j + 3 * k),
    "large": lambda i, j, k: 70 * (1 << 30) // (1 + i + 3 * j) + 1234567 * k,
}


def stats_of(f):
    stats = {}
    for i, group in enumerate(GROUPS):
        for j, pool in enumerate(["all", "large_pool", "small_pool"]):
            for k, what in enumerate(["current", "peak", "allocated", "freed"]):
                stats[f"{group}.{pool}.{what}"] = f(i, j, k)
    for i, group in enumerate(["oversize_allocations", "oversize_segments"]):
        for k, what in enumerate(["current", "peak", "allocated", "freed"]):
            stats[f"{group}.{what}"] = i + k
    stats["num_ooms"], stats["num_alloc_retries"] = f(1, 2, 3) % 1000, f(2, 1, 0) % 77
    return stats


print("-- Made by make_cuda.py: torch.cuda.memory_summary of PyTorch", torch.__version__)
print("return {")
for name, f in CASES.items():
    stats = stats_of(f)
    memory.memory_stats = lambda device=None: stats
    print(f"  {name} = {{")
    print("    stats = {")
    for key in sorted(stats):
        print(f'      ["{key}"] = {stats[key]},')
    print("    },")
    for field, short in [("full", False), ("abbreviated", True)]:
        text = memory.memory_summary(3, abbreviated=short)
        print(f"    {field} = [[\n{text}]],")
    print("  },")
print("}")
