"""Runs PrusaLink's own program, unchanged, where it reaches nothing but this machine and needs no library of Debian's.

What it wants from outside and can do without here is given to it empty: names for its threads (python-prctl, which has
to be compiled), cameras (PyTurboJPEG, numpy), its search for USB printers (pyudev), a guess at what a file without a
type is (python-magic), and its calling out of itself in the local network (zeroconf). Whatever would go elsewhere is
refused and said on standard error. The end of standard input ends it.
"""

import logging
import os
import sys
import threading
import types


def stay_here(event, arguments):
    """An audit hook: no connection, packet or name beyond this machine."""
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else "localhost"
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        host = arguments[0]
    else:
        return
    if host not in (None, "", "localhost", "::1") and not str(host).startswith("127."):
        print(f"refused: {event} {host}", file=sys.stderr)
        raise OSError(f"{host} is not this machine")


def module(name, **contents):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__dict__.update(contents)


class Nothing:
    """Is made of anything and does nothing."""

    name = type = port = server = None

    def __init__(self, *_, **__):
        pass

    def list_devices(self, **_):
        return []

    def register_service(self, _):
        pass

    def unregister_all_services(self):
        pass


def end_with_the_test():
    sys.stdin.read()
    os._exit(0)


sys.addaudithook(stay_here)
threading.Thread(target=end_with_the_test, daemon=True).start()
module("prctl", set_name=lambda _: None)
module("numpy")
module("turbojpeg", TJSAMP_422=1, TurboJPEG=Nothing)
module("pyudev", Context=Nothing)
module("magic", Magic=Nothing)
module("zeroconf", Zeroconf=Nothing, ServiceInfo=Nothing, NonUniqueNameException=Exception,
       _logger=types.SimpleNamespace(log=logging.getLogger("zeroconf")))

from prusa.link.__main__ import main  # noqa: E402

sys.exit(main())
