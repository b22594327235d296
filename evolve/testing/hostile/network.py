"""Programs that talk to somebody outside."""

from __future__ import annotations

from evolve.testing.hostile.record import EVERY_LEVEL, KERNEL_LEVELS, REFUSED_OR_HONEST, STRONG_ONLY, Hostile, Sign

#: Versions of Landlock that keep TCP, and abstract unix sockets, inside.
_TCP, _ABSTRACT = 4, 6

NETWORK = (
    Hostile(
        "TCP",
        "It connects to a server of ours.",
        "import socket\ndef attack():\n    socket.create_connection(('127.0.0.1', @TCP@), 1).send(b'hello')\n",
        claims=KERNEL_LEVELS,
        sign=Sign.CONTACT,
        landlock=_TCP,
    ),
    Hostile(
        "TCP server",
        "It opens a port that others can connect to.",
        "import socket\ndef attack():\n    return socket.create_server(('127.0.0.1', 0)).getsockname()\n",
        claims=KERNEL_LEVELS,
        sign=Sign.REPORT,
        landlock=_TCP,
    ),
    Hostile(
        "TCP fast open",
        "It sends data with the first packet of a connection, without connecting first.",
        "import socket\ndef attack():\n    socket.socket().sendto(b'hello', socket.MSG_FASTOPEN, ('127.0.0.1', @TCP@))\n",
        claims=STRONG_ONLY,
        sign=Sign.CONTACT,
    ),
    Hostile(
        "multipath TCP",
        "It connects by the protocol that Landlock's rules on TCP do not name.",
        "import socket\ndef attack():\n    socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262).connect(('127.0.0.1', @TCP@))\n",
        claims=STRONG_ONLY,
        sign=Sign.CONTACT,
    ),
    Hostile(
        "UDP",
        "It sends a datagram to a server of ours.",
        "import socket\n"
        "def attack():\n    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'hello', ('127.0.0.1', @UDP@))\n",
        claims=STRONG_ONLY,
        sign=Sign.CONTACT,
    ),
    Hostile(
        "unix socket by path",
        "It sends to a socket of ours in the file system.",
        "import socket\ndef attack():\n    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'hello', '@UNIX@')\n",
        claims=STRONG_ONLY,
        sign=Sign.CONTACT,
    ),
    Hostile(
        "abstract unix socket",
        "It sends to a socket of ours that is in no file system.",
        "import socket\ndef attack():\n    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'hello', '\\0@ABSTRACT@')\n",
        claims=KERNEL_LEVELS,
        sign=Sign.CONTACT,
        landlock=_ABSTRACT,
    ),
    Hostile(
        "raw sockets",
        "It opens sockets that see or make any packet.",
        "import socket\ndef attack():\n    socket.socket(socket.AF_PACKET, socket.SOCK_RAW)\n    return 'a raw socket'\n",
        claims=STRONG_ONLY,
        sign=Sign.REPORT,
    ),
    Hostile(
        "netlink",
        "It asks the kernel for the machine's network interfaces.",
        "import socket\ndef attack():\n    return socket.if_nameindex() or socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)\n",
        claims=STRONG_ONLY,
        sign=Sign.REPORT,
    ),
    Hostile(
        "host name",
        "It reads, and as root sets, the machine's name.",
        "import socket\n"
        "def attack():\n"
        "    name = socket.gethostname()\n    socket.sethostname(name)\n    return 'set to what it was'\n",
        claims=STRONG_ONLY,
        sign=Sign.REPORT,
    ),
    Hostile(
        "pretended worker",
        "It takes what arrives on its channel for itself and answers as the platform's own code would, with a score.",
        "import socket, struct\n"
        "def packed(value):\n"
        "    import msgpack\n    return msgpack.packb(value)\n"
        "def say(descriptor, message):\n"
        "    os.write(descriptor, struct.pack('>Q', len(message)) + message)\n"
        "for message in (['ready', '/'], {'outcome': 'ok', 'objective': 1e9}, {'ready': True}, ['ended', 0, 0.0]):\n"
        "    try:\n        say(3, packed(message))\n    except OSError:\n        pass\n",
        claims=EVERY_LEVEL,
        ends=REFUSED_OR_HONEST,
    ),
)
