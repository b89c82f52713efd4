# Writes a QCOW2 image of 1 TiB with 200,000 clusters that lie all over it, whose bytes are holes of the file.
import array, os, sys

CLUSTER, CLUSTERS, COPIED = 65536, 200000, 1 << 63
L2 = 1 << 13
tables = (1 << 40) // (L2 * CLUSTER)
first = 2 + tables
end = first + CLUSTERS
blocks = 1
while blocks * 32768 < end + 1 + blocks:
    blocks += 1
clusters = end + 1 + blocks

out = os.open(sys.argv[1], os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
os.ftruncate(out, clusters * CLUSTER)


def put(cluster, kind, numbers):
    numbers = array.array(kind, numbers)
    numbers.byteswap()
    os.pwrite(out, numbers.tobytes(), cluster * CLUSTER)


# Steps of an odd number meet every cluster of the disk once.
places = sorted(i * 7919 % (tables * L2) for i in range(CLUSTERS))
table, entries = 0, [0] * L2
for host, place in enumerate(places + [tables * L2], first):
    while place // L2 != table:
        put(2 + table, "Q", entries)
        table, entries = table + 1, [0] * L2
    entries[place % L2] = host * CLUSTER | COPIED
put(1, "Q", [(2 + i) * CLUSTER | COPIED for i in range(tables)])
put(end, "Q", [(end + 1 + i) * CLUSTER for i in range(blocks)])
for block in range(blocks):
    put(end + 1 + block, "H", [1] * min(32768, clusters - block * 32768))
header = bytes([0x51, 0x46, 0x49, 0xFB]) + (3).to_bytes(4, "big") + bytes(12) + (16).to_bytes(4, "big")
header += (1 << 40).to_bytes(8, "big") + bytes(4) + tables.to_bytes(4, "big") + CLUSTER.to_bytes(8, "big")
header += (end * CLUSTER).to_bytes(8, "big") + (1).to_bytes(4, "big") + bytes(12 + 24)
header += (4).to_bytes(4, "big") + (104).to_bytes(4, "big")
os.pwrite(out, header, 0)
