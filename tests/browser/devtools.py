"""A small client of Chromium's DevTools protocol: open a page, run script, send input, take pictures, hear errors."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from websockets.sync.client import connect

FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars"),
    "--remote-debugging-port=0",
]


class BrowserError(RuntimeError):
    """Chromium did not start, or a script raised in the page."""


class Browser:
    """One headless Chromium with its own profile; `page()` opens tabs. Use as a context manager."""

    def __init__(self, *, start_timeout: float = 60.0) -> None:
        self.profile = Path(tempfile.mkdtemp(prefix="dao-chromium-"))
        self.process = subprocess.Popen(
            ["chromium", *FLAGS, f"--user-data-dir={self.profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.port = self._port(start_timeout)

    def _port(self, timeout: float) -> int:
        path = self.profile / "DevToolsActivePort"
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if path.exists() and (text := path.read_text()).count("\n"):
                return int(text.split("\n")[0])
            if self.process.poll() is not None:
                raise BrowserError(f"chromium ended with code {self.process.returncode} before it listened")
            time.sleep(0.05)
        raise BrowserError(f"chromium did not listen within {timeout} s")

    def page(self) -> Page:
        request = Request(f"http://127.0.0.1:{self.port}/json/new?about:blank", method="PUT")
        with urlopen(request) as answer:
            return Page(json.load(answer)["webSocketDebuggerUrl"])

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.profile, ignore_errors=True)

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Page:
    """One tab. `errors` collects exceptions, console errors and warnings, blocked loads; `requests` every URL asked."""

    def __init__(self, url: str) -> None:
        self.socket = connect(url, max_size=1 << 28)
        self.count = 0
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.loaded = False
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        self.count += 1
        number = self.count
        self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self.socket.recv(timeout=60))
            if message.get("id") == number:
                if "error" in message:
                    raise BrowserError(f"{method}: {message['error']}")
                return message["result"]
            self._hear(message)

    def _hear(self, message: dict[str, Any]) -> None:
        method, params = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.errors.append(" ".join(str(a.get("value", a.get("description"))) for a in params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.errors.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Page.loadEventFired":
            self.loaded = True

    def size(self, width: int, height: int, *, mobile: bool = False, scale: float = 1.0) -> None:
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=mobile
        )
        self.send("Emulation.setTouchEmulationEnabled", enabled=mobile)

    def theme(self, name: str) -> None:
        """`light` or `dark` as the system's preference."""
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def open(self, path: Path, fragment: str = "") -> None:
        """Open a local file and wait until the page says that it is ready."""
        self.loaded = False
        self.send("Page.navigate", url=path.resolve().as_uri() + fragment)
        while not self.loaded:
            self._hear(json.loads(self.socket.recv(timeout=60)))
        self.until("document.documentElement.dataset.ready === 'true'")

    def run(self, script: str) -> Any:
        """Value of a JavaScript expression (promises awaited). Raises BrowserError where it throws."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise BrowserError(details.get("exception", {}).get("description", details["text"]))
        return answer["result"].get("value")

    def until(self, script: str, timeout: float = 20.0) -> None:
        """Wait until an expression is true."""
        deadline = time.monotonic() + timeout
        while not self.run(script):
            if time.monotonic() > deadline:
                raise BrowserError(f"not true within {timeout} s: {script}")

    def frame(self) -> None:
        """Wait until two animation frames have been painted."""
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")

    def center(self, selector: str) -> tuple[float, float]:
        self.run(f"document.querySelector({json.dumps(selector)}).scrollIntoView({{block: 'center'}})")
        box = self.run(
            f"(() => {{ const b = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
            " return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        return box[0], box[1]

    def click(self, selector: str) -> None:
        x, y = self.center(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        self.frame()

    def drag(self, selector: str, dx: float, dy: float) -> None:
        x, y = self.center(selector)
        self.send("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, button="left", clickCount=1)
        for i in range(1, 6):
            at = {"x": x + dx * i / 5, "y": y + dy * i / 5}
            self.send("Input.dispatchMouseEvent", type="mouseMoved", button="left", buttons=1, **at)
        self.send("Input.dispatchMouseEvent", type="mouseReleased", x=x + dx, y=y + dy, button="left", clickCount=1)
        self.frame()

    def touch_drag(self, selector: str, moves: list[list[tuple[float, float]]]) -> None:
        """Fingers (offsets from the centre) through a list of positions; each entry holds all fingers."""
        x, y = self.center(selector)
        for i, fingers in enumerate(moves):
            points = [{"x": x + fx, "y": y + fy, "id": n} for n, (fx, fy) in enumerate(fingers)]
            self.send("Input.dispatchTouchEvent", type="touchMove" if i else "touchStart", touchPoints=points)
        self.send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        self.frame()

    def key(self, name: str) -> None:
        codes = {"ArrowDown": 40, "ArrowUp": 38, "ArrowLeft": 37, "ArrowRight": 39, "Enter": 13}
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=codes[name])
        self.frame()

    def type(self, selector: str, text: str) -> None:
        self.run(f"document.querySelector({json.dumps(selector)}).focus()")
        self.send("Input.insertText", text=text)
        self.frame()

    def picture(self, path: Path, *, full: bool = False) -> None:
        """A PNG of the window, or of the whole page."""
        self.frame()
        answer = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=full)
        path.write_bytes(base64.b64decode(answer["data"]))

    def close(self) -> None:
        self.send("Page.close")
        self.socket.close()

    def downloads_to(self, folder: Path) -> None:
        self.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder), eventsEnabled=True)

    def downloaded(self, path: Path, timeout: float = 20.0) -> str:
        """The text of a finished download."""
        deadline = time.monotonic() + timeout
        while not (path.exists() and path.stat().st_size):
            if time.monotonic() > deadline:
                found = sorted(p.name for p in path.parent.iterdir())
                raise BrowserError(f"no download {path.name}; the folder holds {found}")
            self.frame()
        return path.read_text()
