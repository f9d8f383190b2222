-- Made by make_cuda.py: torch.cuda.memory_summary of PyTorch 2.15.0+cu132
return {
  small = {
    stats = {
      ["active.all.allocated"] = 36,
      ["active.all.current"] = 34,
      ["active.all.freed"] = 37,
      ["active.all.peak"] = 35,
      ["active.large_pool.allocated"] = 41,
      ["active.large_pool.current"] = 39,
      ["active.large_pool.freed"] = 42,
      ["active.large_pool.peak"] = 40,
      ["active.small_pool.allocated"] = 46,
      ["active.small_pool.current"] = 44,
      ["active.small_pool.freed"] = 47,
      ["active.small_pool.peak"] = 45,
      ["active_bytes.all.allocated"] = 104,
      ["active_bytes.all.current"] = 102,
      ["active_bytes.all.freed"] = 105,
      ["active_bytes.all.peak"] = 103,
      ["active_bytes.large_pool.allocated"] = 109,
      ["active_bytes.large_pool.current"] = 107,
      ["active_bytes.large_pool.freed"] = 110,
      ["active_bytes.large_pool.peak"] = 108,
      ["active_bytes.small_pool.allocated"] = 114,
      ["active_bytes.small_pool.current"] = 112,
      ["active_bytes.small_pool.freed"] = 115,
      ["active_bytes.small_pool.peak"] = 113,
      ["allocated_bytes.all.allocated"] = 70,
      ["allocated_bytes.all.current"] = 68,
      ["allocated_bytes.all.freed"] = 71,
      ["allocated_bytes.all.peak"] = 69,
      ["allocated_bytes.large_pool.allocated"] = 75,
      ["allocated_bytes.large_pool.current"] = 73,
      ["allocated_bytes.large_pool.freed"] = 76,
      ["allocated_bytes.large_pool.peak"] = 74,
      ["allocated_bytes.small_pool.allocated"] = 80,
      ["allocated_bytes.small_pool.current"] = 78,
      ["allocated_bytes.small_pool.freed"] = 81,
      ["allocated_bytes.small_pool.peak"] = 79,
      ["allocation.all.allocated"] = 2,
      ["allocation.all.current"] = 0,
      ["allocation.all.freed"] = 3,
      ["allocation.all.peak"] = 1,
      ["allocation.large_pool.allocated"] = 7,
      ["allocation.large_pool.current"] = 5,
      ["allocation.large_pool.freed"] = 8,
      ["allocation.large_pool.peak"] = 6,
      ["allocation.small_pool.allocated"] = 12,
      ["allocation.small_pool.current"] = 10,
      ["allocation.small_pool.freed"] = 13,
      ["allocation.small_pool.peak"] = 11,
      ["inactive_split.all.allocated"] = 53,
      ["inactive_split.all.current"] = 51,
      ["inactive_split.all.freed"] = 54,
      ["inactive_split.all.peak"] = 52,
      ["inactive_split.large_pool.allocated"] = 58,
      ["inactive_split.large_pool.current"] = 56,
      ["inactive_split.large_pool.freed"] = 59,
      ["inactive_split.large_pool.peak"] = 57,
      ["inactive_split.small_pool.allocated"] = 63,
      ["inactive_split.small_pool.current"] = 61,
      ["inactive_split.small_pool.freed"] = 64,
      ["inactive_split.small_pool.peak"] = 62,
      ["inactive_split_bytes.all.allocated"] = 121,
      ["inactive_split_bytes.all.current"] = 119,
      ["inactive_split_bytes.all.freed"] = 122,
      ["inactive_split_bytes.all.peak"] = 120,
      ["inactive_split_bytes.large_pool.allocated"] = 126,
      ["inactive_split_bytes.large_pool.current"] = 124,
      ["inactive_split_bytes.large_pool.freed"] = 127,
      ["inactive_split_bytes.large_pool.peak"] = 125,
      ["inactive_split_bytes.small_pool.allocated"] = 131,
      ["inactive_split_bytes.small_pool.current"] = 129,
      ["inactive_split_bytes.small_pool.freed"] = 132,
      ["inactive_split_bytes.small_pool.peak"] = 130,
      ["num_alloc_retries"] = 39,
      ["num_ooms"] = 30,
      ["oversize_allocations.allocated"] = 2,
      ["oversize_allocations.current"] = 0,
      ["oversize_allocations.freed"] = 3,
      ["oversize_allocations.peak"] = 1,
      ["oversize_segments.allocated"] = 3,
      ["oversize_segments.current"] = 1,
      ["oversize_segments.freed"] = 4,
      ["oversize_segments.peak"] = 2,
      ["requested_bytes.all.allocated"] = 138,
      ["requested_bytes.all.current"] = 136,
      ["requested_bytes.all.freed"] = 139,
      ["requested_bytes.all.peak"] = 137,
      ["requested_bytes.large_pool.allocated"] = 143,
      ["requested_bytes.large_pool.current"] = 141,
      ["requested_bytes.large_pool.freed"] = 144,
      ["requested_bytes.large_pool.peak"] = 142,
      ["requested_bytes.small_pool.allocated"] = 148,
      ["requested_bytes.small_pool.current"] = 146,
      ["requested_bytes.small_pool.freed"] = 149,
      ["requested_bytes.small_pool.peak"] = 147,
      ["reserved_bytes.all.allocated"] = 87,
      ["reserved_bytes.all.current"] = 85,
      ["reserved_bytes.all.freed"] = 88,
      ["reserved_bytes.all.peak"] = 86,
      ["reserved_bytes.large_pool.allocated"] = 92,
      ["reserved_bytes.large_pool.current"] = 90,
      ["reserved_bytes.large_pool.freed"] = 93,
      ["reserved_bytes.large_pool.peak"] = 91,
      ["reserved_bytes.small_pool.allocated"] = 97,
      ["reserved_bytes.small_pool.current"] = 95,
      ["reserved_bytes.small_pool.freed"] = 98,
      ["reserved_bytes.small_pool.peak"] = 96,
      ["segment.all.allocated"] = 19,
      ["segment.all.current"] = 17,
      ["segment.all.freed"] = 20,
      ["segment.all.peak"] = 18,
      ["segment.large_pool.allocated"] = 24,
      ["segment.large_pool.current"] = 22,
      ["segment.large_pool.freed"] = 25,
      ["segment.large_pool.peak"] = 23,
      ["segment.small_pool.allocated"] = 29,
      ["segment.small_pool.current"] = 27,
      ["segment.small_pool.freed"] = 30,
      ["segment.small_pool.peak"] = 28,
    },
    full = [[
|===========================================================================|
|                  PyTorch CUDA memory summary, device ID 3                 |
|---------------------------------------------------------------------------|
|            CUDA OOMs: 30           |        cudaMalloc retries: 39        |
|===========================================================================|
|        Metric         | Cur Usage  | Peak Usage | Tot Alloc  | Tot Freed  |
|---------------------------------------------------------------------------|
| Allocated memory      |     68 B   |     69 B   |     70 B   |     71 B   |
|       from large pool |     73 B   |     74 B   |     75 B   |     76 B   |
|       from small pool |     78 B   |     79 B   |     80 B   |     81 B   |
|---------------------------------------------------------------------------|
| Active memory         |    102 B   |    103 B   |    104 B   |    105 B   |
|       from large pool |    107 B   |    108 B   |    109 B   |    110 B   |
|       from small pool |    112 B   |    113 B   |    114 B   |    115 B   |
|---------------------------------------------------------------------------|
| Requested memory      |    136 B   |    137 B   |    138 B   |    139 B   |
|       from large pool |    141 B   |    142 B   |    143 B   |    144 B   |
|       from small pool |    146 B   |    147 B   |    148 B   |    149 B   |
|---------------------------------------------------------------------------|
| GPU reserved memory   |     85 B   |     86 B   |     87 B   |     88 B   |
|       from large pool |     90 B   |     91 B   |     92 B   |     93 B   |
|       from small pool |     95 B   |     96 B   |     97 B   |     98 B   |
|---------------------------------------------------------------------------|
| Non-releasable memory |    119 B   |    120 B   |    121 B   |    122 B   |
|       from large pool |    124 B   |    125 B   |    126 B   |    127 B   |
|       from small pool |    129 B   |    130 B   |    131 B   |    132 B   |
|---------------------------------------------------------------------------|
| Allocations           |       0    |       1    |       2    |       3    |
|       from large pool |       5    |       6    |       7    |       8    |
|       from small pool |      10    |      11    |      12    |      13    |
|---------------------------------------------------------------------------|
| Active allocs         |      34    |      35    |      36    |      37    |
|       from large pool |      39    |      40    |      41    |      42    |
|       from small pool |      44    |      45    |      46    |      47    |
|---------------------------------------------------------------------------|
| GPU reserved segments |      17    |      18    |      19    |      20    |
|       from large pool |      22    |      23    |      24    |      25    |
|       from small pool |      27    |      28    |      29    |      30    |
|---------------------------------------------------------------------------|
| Non-releasable allocs |      51    |      52    |      53    |      54    |
|       from large pool |      56    |      57    |      58    |      59    |
|       from small pool |      61    |      62    |      63    |      64    |
|---------------------------------------------------------------------------|
| Oversize allocations  |       0    |       1    |       2    |       3    |
|---------------------------------------------------------------------------|
| Oversize GPU segments |       1    |       2    |       3    |       4    |
|===========================================================================|
]],
    abbreviated = [[
|===========================================================================|
|                  PyTorch CUDA memory summary, device ID 3                 |
|---------------------------------------------------------------------------|
|            CUDA OOMs: 30           |        cudaMalloc retries: 39        |
|===========================================================================|
|        Metric         | Cur Usage  | Peak Usage | Tot Alloc  | Tot Freed  |
|---------------------------------------------------------------------------|
| Allocated memory      |     68 B   |     69 B   |     70 B   |     71 B   |
|---------------------------------------------------------------------------|
| Active memory         |    102 B   |    103 B   |    104 B   |    105 B   |
|---------------------------------------------------------------------------|
| Requested memory      |    136 B   |    137 B   |    138 B   |    139 B   |
|---------------------------------------------------------------------------|
| GPU reserved memory   |     85 B   |     86 B   |     87 B   |     88 B   |
|---------------------------------------------------------------------------|
| Non-releasable memory |    119 B   |    120 B   |    121 B   |    122 B   |
|---------------------------------------------------------------------------|
| Allocations           |       0    |       1    |       2    |       3    |
|---------------------------------------------------------------------------|
| Active allocs         |      34    |      35    |      36    |      37    |
|---------------------------------------------------------------------------|
| GPU reserved segments |      17    |      18    |      19    |      20    |
|---------------------------------------------------------------------------|
| Non-releasable allocs |      51    |      52    |      53    |      54    |
|---------------------------------------------------------------------------|
| Oversize allocations  |       0    |       1    |       2    |       3    |
|---------------------------------------------------------------------------|
| Oversize GPU segments |       1    |       2    |       3    |       4    |
|===========================================================================|
]],
  },
  middle = {
    stats = {
      ["active.all.allocated"] = 3244032,
      ["active.all.current"] = 3145728,
      ["active.all.freed"] = 3293184,
      ["active.all.peak"] = 3194880,
      ["active.large_pool.allocated"] = 3260416,
      ["active.large_pool.current"] = 3162112,
      ["active.large_pool.freed"] = 3309568,
      ["active.large_pool.peak"] = 3211264,
      ["active.small_pool.allocated"] = 3276800,
      ["active.small_pool.current"] = 3178496,
      ["active.small_pool.freed"] = 3325952,
      ["active.small_pool.peak"] = 3227648,
      ["active_bytes.all.allocated"] = 7438336,
      ["active_bytes.all.current"] = 7340032,
      ["active_bytes.all.freed"] = 7487488,
      ["active_bytes.all.peak"] = 7389184,
      ["active_bytes.large_pool.allocated"] = 7454720,
      ["active_bytes.large_pool.current"] = 7356416,
      ["active_bytes.large_pool.freed"] = 7503872,
      ["active_bytes.large_pool.peak"] = 7405568,
      ["active_bytes.small_pool.allocated"] = 7471104,
      ["active_bytes.small_pool.current"] = 7372800,
      ["active_bytes.small_pool.freed"] = 7520256,
      ["active_bytes.small_pool.peak"] = 7421952,
      ["allocated_bytes.all.allocated"] = 5341184,
      ["allocated_bytes.all.current"] = 5242880,
      ["allocated_bytes.all.freed"] = 5390336,
      ["allocated_bytes.all.peak"] = 5292032,
      ["allocated_bytes.large_pool.allocated"] = 5357568,
      ["allocated_bytes.large_pool.current"] = 5259264,
      ["allocated_bytes.large_pool.freed"] = 5406720,
      ["allocated_bytes.large_pool.peak"] = 5308416,
      ["allocated_bytes.small_pool.allocated"] = 5373952,
      ["allocated_bytes.small_pool.current"] = 5275648,
      ["allocated_bytes.small_pool.freed"] = 5423104,
      ["allocated_bytes.small_pool.peak"] = 5324800,
      ["allocation.all.allocated"] = 1146880,
      ["allocation.all.current"] = 1048576,
      ["allocation.all.freed"] = 1196032,
      ["allocation.all.peak"] = 1097728,
      ["allocation.large_pool.allocated"] = 1163264,
      ["allocation.large_pool.current"] = 1064960,
      ["allocation.large_pool.freed"] = 1212416,
      ["allocation.large_pool.peak"] = 1114112,
      ["allocation.small_pool.allocated"] = 1179648,
      ["allocation.small_pool.current"] = 1081344,
      ["allocation.small_pool.freed"] = 1228800,
      ["allocation.small_pool.peak"] = 1130496,
      ["inactive_split.all.allocated"] = 4292608,
      ["inactive_split.all.current"] = 4194304,
      ["inactive_split.all.freed"] = 4341760,
      ["inactive_split.all.peak"] = 4243456,
      ["inactive_split.large_pool.allocated"] = 4308992,
      ["inactive_split.large_pool.current"] = 4210688,
      ["inactive_split.large_pool.freed"] = 4358144,
      ["inactive_split.large_pool.peak"] = 4259840,
      ["inactive_split.small_pool.allocated"] = 4325376,
      ["inactive_split.small_pool.current"] = 4227072,
      ["inactive_split.small_pool.freed"] = 4374528,
      ["inactive_split.small_pool.peak"] = 4276224,
      ["inactive_split_bytes.all.allocated"] = 8486912,
      ["inactive_split_bytes.all.current"] = 8388608,
      ["inactive_split_bytes.all.freed"] = 8536064,
      ["inactive_split_bytes.all.peak"] = 8437760,
      ["inactive_split_bytes.large_pool.allocated"] = 8503296,
      ["inactive_split_bytes.large_pool.current"] = 8404992,
      ["inactive_split_bytes.large_pool.freed"] = 8552448,
      ["inactive_split_bytes.large_pool.peak"] = 8454144,
      ["inactive_split_bytes.small_pool.allocated"] = 8519680,
      ["inactive_split_bytes.small_pool.current"] = 8421376,
      ["inactive_split_bytes.small_pool.freed"] = 8568832,
      ["inactive_split_bytes.small_pool.peak"] = 8470528,
      ["num_alloc_retries"] = 30,
      ["num_ooms"] = 376,
      ["oversize_allocations.allocated"] = 2,
      ["oversize_allocations.current"] = 0,
      ["oversize_allocations.freed"] = 3,
      ["oversize_allocations.peak"] = 1,
      ["oversize_segments.allocated"] = 3,
      ["oversize_segments.current"] = 1,
      ["oversize_segments.freed"] = 4,
      ["oversize_segments.peak"] = 2,
      ["requested_bytes.all.allocated"] = 9535488,
      ["requested_bytes.all.current"] = 9437184,
      ["requested_bytes.all.freed"] = 9584640,
      ["requested_bytes.all.peak"] = 9486336,
      ["requested_bytes.large_pool.allocated"] = 9551872,
      ["requested_bytes.large_pool.current"] = 9453568,
      ["requested_bytes.large_pool.freed"] = 9601024,
      ["requested_bytes.large_pool.peak"] = 9502720,
      ["requested_bytes.small_pool.allocated"] = 9568256,
      ["requested_bytes.small_pool.current"] = 9469952,
      ["requested_bytes.small_pool.freed"] = 9617408,
      ["requested_bytes.small_pool.peak"] = 9519104,
      ["reserved_bytes.all.allocated"] = 6389760,
      ["reserved_bytes.all.current"] = 6291456,
      ["reserved_bytes.all.freed"] = 6438912,
      ["reserved_bytes.all.peak"] = 6340608,
      ["reserved_bytes.large_pool.allocated"] = 6406144,
      ["reserved_bytes.large_pool.current"] = 6307840,
      ["reserved_bytes.large_pool.freed"] = 6455296,
      ["reserved_bytes.large_pool.peak"] = 6356992,
      ["reserved_bytes.small_pool.allocated"] = 6422528,
      ["reserved_bytes.small_pool.current"] = 6324224,
      ["reserved_bytes.small_pool.freed"] = 6471680,
      ["reserved_bytes.small_pool.peak"] = 6373376,
      ["segment.all.allocated"] = 2195456,
      ["segment.all.current"] = 2097152,
      ["segment.all.freed"] = 2244608,
      ["segment.all.peak"] = 2146304,
      ["segment.large_pool.allocated"] = 2211840,
      ["segment.large_pool.current"] = 2113536,
      ["segment.large_pool.freed"] = 2260992,
      ["segment.large_pool.peak"] = 2162688,
      ["segment.small_pool.allocated"] = 2228224,
      ["segment.small_pool.current"] = 2129920,
      ["segment.small_pool.freed"] = 2277376,
      ["segment.small_pool.peak"] = 2179072,
    },
    full = [[
|===========================================================================|
|                  PyTorch CUDA memory summary, device ID 3                 |
|---------------------------------------------------------------------------|
|            CUDA OOMs: 376          |        cudaMalloc retries: 30        |
|===========================================================================|
|        Metric         | Cur Usage  | Peak Usage | Tot Alloc  | Tot Freed  |
|---------------------------------------------------------------------------|
| Allocated memory      |   5120 KiB |   5168 KiB |   5216 KiB |   5264 KiB |
|       from large pool |   5136 KiB |   5184 KiB |   5232 KiB |   5280 KiB |
|       from small pool |   5152 KiB |   5200 KiB |   5248 KiB |   5296 KiB |
|---------------------------------------------------------------------------|
| Active memory         |   7168 KiB |   7216 KiB |   7264 KiB |   7312 KiB |
|       from large pool |   7184 KiB |   7232 KiB |   7280 KiB |   7328 KiB |
|       from small pool |   7200 KiB |   7248 KiB |   7296 KiB |   7344 KiB |
|---------------------------------------------------------------------------|
| Requested memory      |   9216 KiB |   9264 KiB |   9312 KiB |   9360 KiB |
|       from large pool |   9232 KiB |   9280 KiB |   9328 KiB |   9376 KiB |
|       from small pool |   9248 KiB |   9296 KiB |   9344 KiB |   9392 KiB |
|---------------------------------------------------------------------------|
| GPU reserved memory   |   6144 KiB |   6192 KiB |   6240 KiB |   6288 KiB |
|       from large pool |   6160 KiB |   6208 KiB |   6256 KiB |   6304 KiB |
|       from small pool |   6176 KiB |   6224 KiB |   6272 KiB |   6320 KiB |
|---------------------------------------------------------------------------|
| Non-releasable memory |   8192 KiB |   8240 KiB |   8288 KiB |   8336 KiB |
|       from large pool |   8208 KiB |   8256 KiB |   8304 KiB |   8352 KiB |
|       from small pool |   8224 KiB |   8272 KiB |   8320 KiB |   8368 KiB |
|---------------------------------------------------------------------------|
| Allocations           |    1048 K  |    1097 K  |    1146 K  |    1196 K  |
|       from large pool |    1064 K  |    1114 K  |    1163 K  |    1212 K  |
|       from small pool |    1081 K  |    1130 K  |    1179 K  |    1228 K  |
|---------------------------------------------------------------------------|
| Active allocs         |    3145 K  |    3194 K  |    3244 K  |    3293 K  |
|       from large pool |    3162 K  |    3211 K  |    3260 K  |    3309 K  |
|       from small pool |    3178 K  |    3227 K  |    3276 K  |    3325 K  |
|---------------------------------------------------------------------------|
| GPU reserved segments |    2097 K  |    2146 K  |    2195 K  |    2244 K  |
|       from large pool |    2113 K  |    2162 K  |    2211 K  |    2260 K  |
|       from small pool |    2129 K  |    2179 K  |    2228 K  |    2277 K  |
|---------------------------------------------------------------------------|
| Non-releasable allocs |    4194 K  |    4243 K  |    4292 K  |    4341 K  |
|       from large pool |    4210 K  |    4259 K  |    4308 K  |    4358 K  |
|       from small pool |    4227 K  |    4276 K  |    4325 K  |    4374 K  |
|---------------------------------------------------------------------------|
| Oversize allocations  |       0    |       1    |       2    |       3    |
|---------------------------------------------------------------------------|
| Oversize GPU segments |       1    |       2    |       3    |       4    |
|===========================================================================|
]],
    abbreviated = [[
|===========================================================================|
|                  PyTorch CUDA memory summary, device ID 3                 |
|---------------------------------------------------------------------------|
|            CUDA OOMs: 376          |        cudaMalloc retries: 30        |
|===========================================================================|
|        Metric         | Cur Usage  | Peak Usage | Tot Alloc  | Tot Freed  |
|---------------------------------------------------------------------------|
| Allocated memory      |   5120 KiB |   5168 KiB |   5216 KiB |   5264 KiB |
|---------------------------------------------------------------------------|
| Active memory         |   7168 KiB |   7216 KiB |   7264 KiB |   7312 KiB |
|---------------------------------------------------------------------------|
| Requested memory      |   9216 KiB |   9264 KiB |   9312 KiB |   9360 KiB |
|---------------------------------------------------------------------------|
| GPU reserved memory   |   6144 KiB |   6192 KiB |   6240 KiB |   6288 KiB |
|---------------------------------------------------------------------------|
| Non-releasable memory |   8192 KiB |   8240 KiB |   8288 KiB |   8336 KiB |
|---------------------------------------------------------------------------|
| Allocations           |    1048 K  |    1097 K  |    1146 K  |    1196 K  |
|---------------------------------------------------------------------------|
| Active allocs         |    3145 K  |    3194 K  |    3244 K  |    3293 K  |
|---------------------------------------------------------------------------|
| GPU reserved segments |    2097 K  |    2146 K  |    2195 K  |    2244 K  |
|---------------------------------------------------------------------------|
| Non-releasable allocs |    4194 K  |    4243 K  |    4292 K  |    4341 K  |
|---------------------------------------------------------------------------|
| Oversize allocations  |       0    |       1    |       2    |       3    |
|---------------------------------------------------------------------------|
| Oversize GPU segments |       1    |       2    |       3    |       4    |
|===========================================================================|
]],
  },
  large = {
    stats = {
      ["active.all.allocated"] = 25056445027,
      ["active.all.current"] = 25053975893,
      ["active.all.freed"] = 25057679594,
      ["active.all.peak"] = 25055210460,
      ["active.large_pool.allocated"] = 12529457080,
      ["active.large_pool.current"] = 12526987946,
      ["active.large_pool.freed"] = 12530691647,
      ["active.large_pool.peak"] = 12528222513,
      ["active.small_pool.allocated"] = 8353794431,
      ["active.small_pool.current"] = 8351325297,
      ["active.small_pool.freed"] = 8355028998,
      ["active.small_pool.peak"] = 8352559864,
      ["active_bytes.all.allocated"] = 10739887374,
      ["active_bytes.all.current"] = 10737418240,
      ["active_bytes.all.freed"] = 10741121941,
      ["active_bytes.all.peak"] = 10738652807,
      ["active_bytes.large_pool.allocated"] = 7518661902,
      ["active_bytes.large_pool.current"] = 7516192768,
      ["active_bytes.large_pool.freed"] = 7519896469,
      ["active_bytes.large_pool.peak"] = 7517427335,
      ["active_bytes.small_pool.allocated"] = 5784155878,
      ["active_bytes.small_pool.current"] = 5781686744,
      ["active_bytes.small_pool.freed"] = 5785390445,
      ["active_bytes.small_pool.peak"] = 5782921311,
      ["allocated_bytes.all.allocated"] = 15034854670,
      ["allocated_bytes.all.current"] = 15032385536,
      ["allocated_bytes.all.freed"] = 15036089237,
      ["allocated_bytes.all.peak"] = 15033620103,
      ["allocated_bytes.large_pool.allocated"] = 9397710094,
      ["allocated_bytes.large_pool.current"] = 9395240960,
      ["allocated_bytes.large_pool.freed"] = 9398944661,
      ["allocated_bytes.large_pool.peak"] = 9396475527,
      ["allocated_bytes.small_pool.allocated"] = 6835371650,
      ["allocated_bytes.small_pool.current"] = 6832902516,
      ["allocated_bytes.small_pool.freed"] = 6836606217,
      ["allocated_bytes.small_pool.peak"] = 6834137083,
      ["allocation.all.allocated"] = 75164396814,
      ["allocation.all.current"] = 75161927680,
      ["allocation.all.freed"] = 75165631381,
      ["allocation.all.peak"] = 75163162247,
      ["allocation.large_pool.allocated"] = 18792951054,
      ["allocation.large_pool.current"] = 18790481920,
      ["allocation.large_pool.freed"] = 18794185621,
      ["allocation.large_pool.peak"] = 18791716487,
      ["allocation.small_pool.allocated"] = 10739887374,
      ["allocation.small_pool.current"] = 10737418240,
      ["allocation.small_pool.freed"] = 10741121941,
      ["allocation.small_pool.peak"] = 10738652807,
      ["inactive_split.all.allocated"] = 18792951054,
      ["inactive_split.all.current"] = 18790481920,
      ["inactive_split.all.freed"] = 18794185621,
      ["inactive_split.all.peak"] = 18791716487,
      ["inactive_split.large_pool.allocated"] = 10739887374,
      ["inactive_split.large_pool.current"] = 10737418240,
      ["inactive_split.large_pool.freed"] = 10741121941,
      ["inactive_split.large_pool.peak"] = 10738652807,
      ["inactive_split.small_pool.allocated"] = 7518661902,
      ["inactive_split.small_pool.current"] = 7516192768,
      ["inactive_split.small_pool.freed"] = 7519896469,
      ["inactive_split.small_pool.peak"] = 7517427335,
      ["inactive_split_bytes.all.allocated"] = 9397710094,
      ["inactive_split_bytes.all.current"] = 9395240960,
      ["inactive_split_bytes.all.freed"] = 9398944661,
      ["inactive_split_bytes.all.peak"] = 9396475527,
      ["inactive_split_bytes.large_pool.allocated"] = 6835371650,
      ["inactive_split_bytes.large_pool.current"] = 6832902516,
      ["inactive_split_bytes.large_pool.freed"] = 6836606217,
      ["inactive_split_bytes.large_pool.peak"] = 6834137083,
      ["inactive_split_bytes.small_pool.allocated"] = 5371178254,
      ["inactive_split_bytes.small_pool.current"] = 5368709120,
      ["inactive_split_bytes.small_pool.freed"] = 5372412821,
      ["inactive_split_bytes.small_pool.peak"] = 5369943687,
      ["num_alloc_retries"] = 11,
      ["num_ooms"] = 661,
      ["oversize_allocations.allocated"] = 2,
      ["oversize_allocations.current"] = 0,
      ["oversize_allocations.freed"] = 3,
      ["oversize_allocations.peak"] = 1,
      ["oversize_segments.allocated"] = 3,
      ["oversize_segments.current"] = 1,
      ["oversize_segments.freed"] = 4,
      ["oversize_segments.peak"] = 2,
      ["requested_bytes.all.allocated"] = 8353794431,
      ["requested_bytes.all.current"] = 8351325297,
      ["requested_bytes.all.freed"] = 8355028998,
      ["requested_bytes.all.peak"] = 8352559864,
      ["requested_bytes.large_pool.allocated"] = 6265963107,
      ["requested_bytes.large_pool.current"] = 6263493973,
      ["requested_bytes.large_pool.freed"] = 6267197674,
      ["requested_bytes.large_pool.peak"] = 6264728540,
      ["requested_bytes.small_pool.allocated"] = 5013264312,
      ["requested_bytes.small_pool.current"] = 5010795178,
      ["requested_bytes.small_pool.freed"] = 5014498879,
      ["requested_bytes.small_pool.peak"] = 5012029745,
      ["reserved_bytes.all.allocated"] = 12529457080,
      ["reserved_bytes.all.current"] = 12526987946,
      ["reserved_bytes.all.freed"] = 12530691647,
      ["reserved_bytes.all.peak"] = 12528222513,
      ["reserved_bytes.large_pool.allocated"] = 8353794431,
      ["reserved_bytes.large_pool.current"] = 8351325297,
      ["reserved_bytes.large_pool.freed"] = 8355028998,
      ["reserved_bytes.large_pool.peak"] = 8352559864,
      ["reserved_bytes.small_pool.allocated"] = 6265963107,
      ["reserved_bytes.small_pool.current"] = 6263493973,
      ["reserved_bytes.small_pool.freed"] = 6267197674,
      ["reserved_bytes.small_pool.peak"] = 6264728540,
      ["segment.all.allocated"] = 37583432974,
      ["segment.all.current"] = 37580963840,
      ["segment.all.freed"] = 37584667541,
      ["segment.all.peak"] = 37582198407,
      ["segment.large_pool.allocated"] = 15034854670,
      ["segment.large_pool.current"] = 15032385536,
      ["segment.large_pool.freed"] = 15036089237,
      ["segment.large_pool.peak"] = 15033620103,
      ["segment.small_pool.allocated"] = 9397710094,
      ["segment.small_pool.current"] = 9395240960,
      ["segment.small_pool.freed"] = 9398944661,
      ["segment.small_pool.peak"] = 9396475527,
    },
    full = [[
|===========================================================================|
|                  PyTorch CUDA memory summary, device ID 3                 |
|---------------------------------------------------------------------------|
|            CUDA OOMs: 661          |        cudaMalloc retries: 11        |
|===========================================================================|
|        Metric         | Cur Usage  | Peak Usage | Tot Alloc  | Tot Freed  |
|---------------------------------------------------------------------------|
| Allocated memory      |  14336 MiB |  14337 MiB |  14338 MiB |  14339 MiB |
|       from large pool |   8960 MiB |   8961 MiB |   8962 MiB |   8963 MiB |
|       from small pool |   6516 MiB |   6517 MiB |   6518 MiB |   6519 MiB |
|---------------------------------------------------------------------------|
| Active memory         |  10240 MiB |  10241 MiB |  10242 MiB |  10243 MiB |
|       from large pool |   7168 MiB |   7169 MiB |   7170 MiB |   7171 MiB |
|       from small pool |   5513 MiB |   5515 MiB |   5516 MiB |   5517 MiB |
|---------------------------------------------------------------------------|
| Requested memory      |   7964 MiB |   7965 MiB |   7966 MiB |   7967 MiB |
|       from large pool |   5973 MiB |   5974 MiB |   5975 MiB |   5976 MiB |
|       from small pool |   4778 MiB |   4779 MiB |   4781 MiB |   4782 MiB |
|---------------------------------------------------------------------------|
| GPU reserved memory   |  11946 MiB |  11947 MiB |  11949 MiB |  11950 MiB |
|       from large pool |   7964 MiB |   7965 MiB |   7966 MiB |   7967 MiB |
|       from small pool |   5973 MiB |   5974 MiB |   5975 MiB |   5976 MiB |
|---------------------------------------------------------------------------|
| Non-releasable memory |   8960 MiB |   8961 MiB |   8962 MiB |   8963 MiB |
|       from large pool |   6516 MiB |   6517 MiB |   6518 MiB |   6519 MiB |
|       from small pool |   5120 MiB |   5121 MiB |   5122 MiB |   5123 MiB |
|---------------------------------------------------------------------------|
| Allocations           |   75161 M  |   75163 M  |   75164 M  |   75165 M  |
|       from large pool |   18790 M  |   18791 M  |   18792 M  |   18794 M  |
|       from small pool |   10737 M  |   10738 M  |   10739 M  |   10741 M  |
|---------------------------------------------------------------------------|
| Active allocs         |   25053 M  |   25055 M  |   25056 M  |   25057 M  |
|       from large pool |   12526 M  |   12528 M  |   12529 M  |   12530 M  |
|       from small pool |    8351 M  |    8352 M  |    8353 M  |    8355 M  |
|---------------------------------------------------------------------------|
| GPU reserved segments |   37580 M  |   37582 M  |   37583 M  |   37584 M  |
|       from large pool |   15032 M  |   15033 M  |   15034 M  |   15036 M  |
|       from small pool |    9395 M  |    9396 M  |    9397 M  |    9398 M  |
|---------------------------------------------------------------------------|
| Non-releasable allocs |   18790 M  |   18791 M  |   18792 M  |   18794 M  |
|       from large pool |   10737 M  |   10738 M  |   10739 M  |   10741 M  |
|       from small pool |    7516 M  |    7517 M  |    7518 M  |    7519 M  |
|---------------------------------------------------------------------------|
| Oversize allocations  |       0    |       1    |       2    |       3    |
|---------------------------------------------------------------------------|
| Oversize GPU segments |       1    |       2    |       3    |       4    |
|===========================================================================|
]],
    abbreviated = [[
|===========================================================================|
|                  PyTorch CUDA memory summary, device ID 3                 |
|---------------------------------------------------------------------------|
|            CUDA OOMs: 661          |        cudaMalloc retries: 11        |
|===========================================================================|
|        Metric         | Cur Usage  | Peak Usage | Tot Alloc  | Tot Freed  |
|---------------------------------------------------------------------------|
| Allocated memory      |  14336 MiB |  14337 MiB |  14338 MiB |  14339 MiB |
|---------------------------------------------------------------------------|
| Active memory         |  10240 MiB |  10241 MiB |  10242 MiB |  10243 MiB |
|---------------------------------------------------------------------------|
| Requested memory      |   7964 MiB |   7965 MiB |   7966 MiB |   7967 MiB |
|---------------------------------------------------------------------------|
| GPU reserved memory   |  11946 MiB |  11947 MiB |  11949 MiB |  11950 MiB |
|---------------------------------------------------------------------------|
| Non-releasable memory |   8960 MiB |   8961 MiB |   8962 MiB |   8963 MiB |
|---------------------------------------------------------------------------|
| Allocations           |   75161 M  |   75163 M  |   75164 M  |   75165 M  |
|---------------------------------------------------------------------------|
| Active allocs         |   25053 M  |   25055 M  |   25056 M  |   25057 M  |
|---------------------------------------------------------------------------|
| GPU reserved segments |   37580 M  |   37582 M  |   37583 M  |   37584 M  |
|---------------------------------------------------------------------------|
| Non-releasable allocs |   18790 M  |   18791 M  |   18792 M  |   18794 M  |
|---------------------------------------------------------------------------|
| Oversize allocations  |       0    |       1    |       2    |       3    |
|---------------------------------------------------------------------------|
| Oversize GPU segments |       1    |       2    |       3    |       4    |
|===========================================================================|
]],
  },
}
