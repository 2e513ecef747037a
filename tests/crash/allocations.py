"""A workload of large values while one large allocation of the daemon fails, for each of
them in turn. allocations.py MNT CONTROL STEP: every STEP-th. See memory_shim.c."""
import errno
import mmap
import os
import struct
import sys

MNT, CONTROL, STEP = sys.argv[1], sys.argv[2], int(sys.argv[3])
W = MNT + "/keys/w"
MIB = 1 << 20
ERRORS = {errno.ENOMEM, errno.EIO}

control = mmap.mmap(os.open(CONTROL, os.O_RDWR), 12)


def arm(left):
    control[:] = struct.pack("iii", left, 0, 0)


def counted():
    return struct.unpack("iii", control[:])[1:]


def block(seed, size):
    """`size` bytes that tell where they were written."""
    line = b"%s %s\n" % (seed.encode(), b"x" * 50)
    return (line * (size // len(line) + 1))[:size]


def read(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        parts = []
        while part := os.read(fd, MIB):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(fd)


def put(path, data, flags=os.O_TRUNC):
    """One session. The first error is the one that counts, whatever close(2) says."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o644)
    try:
        for at in range(0, len(data), MIB):
            part = data[at : at + MIB]
            if os.write(fd, part) != len(part):
                raise OSError(errno.ENOMEM, "a short write")
    except OSError:
        try:
            os.close(fd)
        except OSError:
            pass
        raise
    os.close(fd)


def evaluate(program):
    fd = os.open(MNT + "/eval", os.O_RDWR)
    try:
        for at in range(0, len(program), MIB):
            os.write(fd, program[at : at + MIB])
        parts = []
        while part := os.read(fd, MIB):
            parts.append(part)
        reply = b"".join(parts)
    finally:
        os.close(fd)
    if not reply.startswith(b"SUCCESS"):
        if b"not enough memory" not in reply and b"Cannot allocate memory" not in reply:
            raise AssertionError("eval answered %r" % reply[:200])
        raise OSError(errno.ENOMEM, "eval")
    return reply


class Round:
    """What the keys held when the round began, and what they may hold now."""

    def __init__(self, name):
        self.name = name
        self.refused = 0
        self.wrong = []

    def step(self, what, function):
        try:
            function()
            return True
        except OSError as error:
            if error.errno not in ERRORS:
                self.wrong.append("%s: %s" % (what, error))
            self.refused += 1
            return False

    def write(self, what, key, wanted, function):
        """`key` holds `wanted` afterwards; when the call was refused, perhaps what it held."""
        before = held.get(key)
        held[key] = [wanted] if self.step(what, function) else (before or [None]) + [wanted]

    def reads(self, what, function, wanted):
        def look():
            if function() != wanted:
                self.wrong.append("%s: other bytes" % what)

        self.step(what, look)


held = {}


def check(round_):
    """With nothing failing any more: everything is what it may be, and is known then."""
    for key, choices in held.items():
        try:
            found = read(W + "/" + key)
        except FileNotFoundError:
            found = None
        if found not in choices:
            round_.wrong.append("%s holds neither the old nor the new value" % key)
        held[key] = [found]


def transaction(round_):
    name = MNT + "/txn/" + round_.name
    inside = name + "/keys/w/"
    value = block(round_.name + " txn", MIB)
    grown = value + block("more", 3 * MIB)

    def fill():
        put(inside + "t", value)
        put(inside + "t", grown[MIB:], os.O_APPEND)
        os.truncate(inside + "u", 8 * MIB)
        put(inside + "v", read(inside + "big"))
        os.rename(inside + "v", inside + "v2")

    def commit():
        put(name + "/commit", b"test\n", 0)

    if not round_.step("mkdir", lambda: os.mkdir(name)):
        return
    if round_.step("fill", fill):
        old = [held[key] for key in ("t", "u", "v2")]
        new = [grown, GROWN, BIG]
        done = round_.step("commit", commit)
        for key, before, after in zip(("t", "u", "v2"), old, new):
            held[key] = [after] if done else before + [after]
    round_.step("rmdir", lambda: os.rmdir(name))


def run(name, left):
    round_ = Round(name)
    names = sorted([W + "/moved", W + "/copied"], key=os.path.exists)
    one = block(name, MIB)
    arm(left)
    round_.write("write", "one", one, lambda: put(W + "/one", one))
    more = block(name + " more", MIB // 2)
    start = held["one"]
    done = round_.step("append", lambda: put(W + "/one", more, os.O_APPEND))
    held["one"] = [v + more for v in start if v is not None] + ([] if done else start)
    round_.write("truncate", "grow", GROWN, lambda: os.truncate(W + "/grow", 8 * MIB))
    round_.write("copy", "copy", BIG, lambda: put(W + "/copy", read(W + "/big")))
    transaction(round_)
    text = block(name + " eval", MIB)
    text = text[: text.rindex(b"\n") + 1]
    program = b"put w/e <<END\n" + text + b"END\nget w/big\n"
    round_.write("eval", "e", text, lambda: evaluate(program))
    quoted = b"y" * MIB
    round_.write("eval", "q", quoted, lambda: evaluate(b'put w/q "' + quoted + b'"\n'))
    round_.reads("past", lambda: read("%s/at/%s/w/big" % (MNT, PAST)), BIG)
    round_.reads("list", lambda: sorted(os.listdir(W + "/many")), MANY)
    round_.step("rename", lambda: os.rename(names[1], names[0]))
    allocations, failed = counted()
    arm(0)
    check(round_)
    for key in ("u", "grow"): # smaller again for the next round
        put(W + "/" + key, b"small")
        held[key] = [b"small"]
    if read(W + "/big") != BIG or sum(os.path.exists(n) for n in names) != 1:
        round_.wrong.append("a key is lost")
    if failed and not round_.refused:
        silent.append(left)
    if round_.refused and not failed:
        round_.wrong.append("refused for no reason")
    if round_.wrong:
        sys.exit("allocation %d: %s" % (left, "; ".join(round_.wrong)))
    return allocations, failed, round_.refused


os.mkdir(W)
os.mkdir(W + "/many")
BIG = block("big", 4 * MIB)
GROWN = b"small".ljust(8 * MIB, b"\0")
MANY = sorted("%03d" % i + "n" * 200 for i in range(400))
for many in MANY:
    put(W + "/many/" + many, b"")
put(W + "/big", BIG)
put(W + "/moved", BIG)
for key in ("one", "copy", "t", "v2", "e", "q", "u", "grow"):
    put(W + "/" + key, b"small")
    held[key] = [b"small"]
PAST = read(MNT + "/revision").decode().strip()

silent = []
total = refusals = 0
allocations = run("r0", 0)[0]
left = 1
while left <= allocations + STEP:
    now, failed, refused = run("r%d" % left, left)
    if not failed:
        break
    total += failed
    refusals += refused
    left += STEP
arm(0)
print("%d large allocations, %d failed, %d calls said so, %d went on without"
      % (allocations, total, refusals, len(silent)))
if total == 0 or refusals == 0:
    sys.exit("nothing failed")
