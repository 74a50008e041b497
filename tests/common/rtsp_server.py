"""An RTSP server for tests: H.264 of patterns, or of the pictures in a folder, as standard input says.

It listens on a port of its own choice, or the one it is given, and prints `port N`. Commands, one a line; each is answered
by `done` or by `error: ...`, on standard output:

    show NAME WHAT     at rtsp://127.0.0.1:PORT/NAME; WHAT is a pattern of videotestsrc, or the path of a folder
    pace NAME SECONDS  how long each picture of a folder is shown (1)
    size NAME WxH      the resolution, while the stream runs (640x360)
    freeze NAME        repeats the last picture; `show` ends it
    stall NAME         sends nothing more, and closes nothing
    resume NAME        sends again
    drop               closes all connections

It ends when standard input does.

    rtsp_server.py [--port N] [--user NAME --password PASSWORD] [--tls CERTIFICATE_AND_KEY.pem]
"""

import argparse
import os
import sys
import threading
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
# GstApp is what gives appsrc its methods.
from gi.repository import Gio, GLib, Gst, GstApp, GstRtsp, GstRtspServer  # noqa: E402, F401

FRAMES_A_SECOND = 10
# Seconds that a picture may take to be decoded.
PATIENCE = 20


def caps(size, framerate=f",framerate={FRAMES_A_SECOND}/1"):
    width, height = size
    return Gst.Caps.from_string(
        f"video/x-raw,format=I420,width={width},height={height},pixel-aspect-ratio=1/1,"
        f"interlace-mode=progressive,colorimetry=bt709{framerate}"
    )


def decoded(path, size):
    """A picture file as one buffer."""
    pipeline = Gst.parse_launch(
        "filesrc name=file ! decodebin ! videoconvert ! videoscale ! capsfilter name=as ! appsink name=out sync=false"
    )
    pipeline.get_by_name("file").set_property("location", path)
    pipeline.get_by_name("as").set_property("caps", caps(size, framerate=""))
    pipeline.set_state(Gst.State.PLAYING)
    sample = pipeline.get_by_name("out").emit("try-pull-sample", PATIENCE * Gst.SECOND)
    pipeline.set_state(Gst.State.NULL)
    if sample is None:
        raise ValueError(f"{path} cannot be decoded")
    return sample.get_buffer()


class Pictures:
    """A folder's pictures, one after the other, again and again."""

    def __init__(self, folder, size, pace):
        names = sorted(name for name in os.listdir(folder) if name.lower().endswith((".jpg", ".jpeg", ".png")))
        if not names:
            raise ValueError(f"{folder} has no pictures")
        self.buffers = [decoded(os.path.join(folder, name), size) for name in names]
        self.begun, self.pace = time.monotonic(), pace

    def buffer(self):
        return self.buffers[int((time.monotonic() - self.begun) / self.pace) % len(self.buffers)]

    def close(self):
        pass


class Pattern:
    """What videotestsrc draws."""

    def __init__(self, pattern, size):
        self.newest = None
        self.pipeline = Gst.parse_launch("videotestsrc name=test is-live=true ! capsfilter name=as ! appsink name=out")
        Gst.util_set_object_arg(self.pipeline.get_by_name("test"), "pattern", pattern)
        self.pipeline.get_by_name("as").set_property("caps", caps(size))
        out = self.pipeline.get_by_name("out")
        for name, value in (("emit-signals", True), ("max-buffers", 1), ("drop", True), ("sync", False)):
            out.set_property(name, value)
        out.connect("new-sample", self.take)
        self.pipeline.set_state(Gst.State.PLAYING)

    def take(self, out):
        self.newest = out.emit("pull-sample").get_buffer()
        return Gst.FlowReturn.OK

    def buffer(self):
        return self.newest

    def close(self):
        self.pipeline.set_state(Gst.State.NULL)


class Channel(GstRtspServer.RTSPMediaFactory):
    """What is at one name. One stream is shared by all who watch it."""

    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()
        self.size, self.pace, self.what, self.source = (640, 360), 1.0, None, None
        self.frozen, self.stalled, self.newest = False, False, None
        self.outlets = []
        self.set_shared(True)
        self.connect("media-configure", self.configure)
        threading.Thread(target=self.run, daemon=True).start()

    def do_create_element(self, url):
        return Gst.parse_launch(
            "( appsrc name=in is-live=true do-timestamp=true format=time ! videoconvert ! "
            f"x264enc tune=zerolatency speed-preset=ultrafast key-int-max={2 * FRAMES_A_SECOND} pass=qual quantizer=20 ! "
            "rtph264pay name=pay0 pt=96 config-interval=1 )"
        )

    def configure(self, _factory, media):
        outlet = media.get_element().get_by_name("in")
        outlet.set_property("caps", caps(self.size))
        with self.lock:
            self.outlets.append(outlet)
        media.connect("unprepared", lambda _media: self.forget(outlet))

    def forget(self, outlet):
        with self.lock:
            if outlet in self.outlets:
                self.outlets.remove(outlet)

    def show(self, what, size=None, pace=None):
        size, pace = size or self.size, pace or self.pace
        source = Pictures(what, size, pace) if os.path.isdir(what) else Pattern(what, size)
        with self.lock:
            old, self.source = self.source, source
            self.what, self.size, self.pace, self.frozen, self.newest = what, size, pace, False, None
        if old:
            old.close()

    def run(self):
        while True:
            time.sleep(1 / FRAMES_A_SECOND)
            with self.lock:
                if self.source and not self.frozen:
                    self.newest = self.source.buffer() or self.newest
                if self.newest is None or self.stalled:
                    continue
                for outlet in self.outlets:
                    picture = self.newest.copy()
                    picture.pts = picture.dts = picture.duration = Gst.CLOCK_TIME_NONE
                    outlet.push_sample(Gst.Sample.new(picture, caps(self.size), None, None))


class Server:
    def __init__(self, options):
        self.server = GstRtspServer.RTSPServer.new()
        self.server.set_address("127.0.0.1")
        self.server.set_service(str(options.port))
        self.channels = {}
        if options.user or options.tls:
            self.server.set_auth(self.auth(options))
        if self.server.attach(None) == 0:
            raise SystemExit("the RTSP server cannot listen")

    def auth(self, options):
        auth = GstRtspServer.RTSPAuth()
        if options.tls:
            auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(options.tls))
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "user")
        if options.user:
            auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
            auth.add_digest(options.user, options.password, token)
        else:
            auth.set_default_token(token)
        return auth

    def channel(self, name):
        if name not in self.channels:
            channel = Channel()
            if self.server.get_auth():
                role = Gst.Structure.new_empty("user")
                for permission in ("media.factory.access", "media.factory.construct"):
                    role.set_value(permission, True)
                channel.add_role_from_structure(role)
            self.server.get_mount_points().add_factory(f"/{name}", channel)
            self.channels[name] = channel
        return self.channels[name]

    def obey(self, line):
        command, _, rest = line.strip().partition(" ")
        if command == "drop":
            self.server.client_filter(lambda _server, _client: GstRtspServer.RTSPFilterResult.REMOVE)
            return
        name, _, value = rest.partition(" ")
        channel = self.channel(name)
        if command == "show":
            channel.show(value)
        elif command == "pace":
            channel.show(channel.what, pace=float(value))
        elif command == "size":
            channel.show(channel.what, size=tuple(int(side) for side in value.split("x")))
        elif command in ("freeze", "stall", "resume"):
            with channel.lock:
                channel.frozen = channel.frozen or command == "freeze"
                channel.stalled = (channel.stalled or command == "stall") and command != "resume"
        else:
            raise ValueError(f"no command {command}")


def answer(server, line):
    try:
        server.obey(line)
        print("done", flush=True)
    except Exception as error:  # It is told, whatever it is.
        print(f"error: {error}", flush=True)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--user")
    options.add_argument("--password")
    options.add_argument("--tls")
    Gst.init(None)
    server = Server(options.parse_args())
    print(f"port {server.server.get_bound_port()}", flush=True)
    loop = GLib.MainLoop()

    def listen():
        for line in sys.stdin:
            GLib.idle_add(answer, server, line)
        GLib.idle_add(loop.quit)

    threading.Thread(target=listen, daemon=True).start()
    loop.run()


main()
