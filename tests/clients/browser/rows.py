"""What a page of another origin asks the relay, and what it must be able to read: a group of rows for each relay."""

import json

ABSENT = "01936e4f-a1b2-7fff-bfff-ffffffffffff"
JSON = {"Content-Type": "application/json"}
AUTH = {"Authorization": "Bearer {token}"}
WRONG = {"Authorization": "Bearer wrong-key"}
MIB = 1 << 20
PNG = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
PICTURE = json.dumps({"user_prompt": "a cat in snow", "image_url": PNG})
GOOD = '{"prompt": "A tiger walking in snow", "model": "ray-2"}'

# `body`: text, or {"filled": N} for JSON of N bytes, or {"form": N} for a multipart form with a file of N bytes.
# `status`: what the page reads; "blocked": fetch() rejects with TypeError. `gate`: the body is held back on its way.
# `sees`: response headers that the page can read.
def row(name, method, path, status, headers=None, body=None, **more):
    return {"name": name, "method": method, "path": path, "status": status, "headers": headers or {}, "body": body} | more


ROWS = {
    "plain": [
        row("200 ping", "GET", "/dream-machine/v1/ping", 200, AUTH),
        row("201 create", "POST", "/luma/generations", 201, AUTH | JSON, '{"user_prompt": "A tiger in snow"}'),
        row("204 OPTIONS of a known path", "OPTIONS", "/luma/generations", 204),
        row("404 OPTIONS of an unknown path, after a preflight", "OPTIONS", "/nowhere", 404),
        row("400 missing prompt", "POST", "/dream-machine/v1/generations", 400, AUTH | JSON, "{}"),
        row("400 not JSON", "POST", "/luma/tasks", 400, AUTH | JSON, "{"),
        row("400 path %zz, simple request", "GET", "/luma/%zz", 400),
        row("400 path %zz, with a preflight", "GET", "/luma/%zz", 400, AUTH),
        row("401 no token, simple request", "GET", "/luma/users/me", 401),
        row("401 wrong token", "GET", "/luma/users/me", 401, WRONG),
        row("401 wrong token, 2 MiB", "POST", "/luma/tasks", 401, WRONG | JSON, {"filled": 2 * MIB}),
        row("401 wrong token, 40 MB", "POST", "/luma/generations", 401, WRONG | JSON, {"filled": 40_000_000}),
        row("404 unknown path, simple request", "GET", "/nowhere", 404),
        row("404 unknown path, Authorization", "GET", "/nowhere", 404, AUTH),
        row("404 unknown path below /luma", "GET", "/luma/nowhere", 404, AUTH),
        row("404 unknown id", "GET", f"/dream-machine/v1/generations/{ABSENT}", 404, AUTH),
        row("404 DELETE unknown id", "DELETE", f"/dream-machine/v1/generations/{ABSENT}", 404, AUTH),
        row("404 PUT of an upload that is unknown", "PUT", "/uploads/none.png/none", 404, None, {"filled": 1000}),
        row("404 unknown path, 2 MiB", "POST", "/nowhere", 404, AUTH | JSON, {"filled": 2 * MIB}),
        row("405 PUT /luma/generations", "PUT", "/luma/generations", 405, AUTH | JSON, "{}"),
        row("405 DELETE /luma/tasks", "DELETE", "/luma/tasks", 405, AUTH),
        row("405 PATCH /luma/generations", "PATCH", "/luma/generations", 405, AUTH | JSON, "{}"),
        row("405 an unknown method", "REPORT", "/luma/generations", 405, AUTH | JSON, "{}"),
        row("413 2 MiB to /luma/tasks", "POST", "/luma/tasks", 413, AUTH | JSON, {"filled": 2 * MIB}),
        row("413 40 MB to /luma/generations", "POST", "/luma/generations", 413, AUTH | JSON, {"filled": 40_000_000}),
        row("413 40 MB, a form to file_upload", "POST", "/luma/generations/file_upload", 413, AUTH, {"form": 40_000_000}),
        row("413 100 MB, a form to file_upload", "POST", "/luma/generations/file_upload", 413, AUTH, {"form": 100_000_000}),
        row("413 file of 26 MB in 28 MB", "POST", "/luma/generations/file_upload", 413, AUTH, {"form": 26_000_000}),
        row("414 path of 9,000, simple request", "GET", "/luma/" + "a" * 9000, 414),
        row("414 path of 9,000, with a preflight", "GET", "/luma/" + "a" * 9000, 414, AUTH),
        row("415 text/plain, hello", "POST", "/luma/tasks", 415, AUTH | {"Content-Type": "text/plain"}, "hello"),
        row("415 text/plain, hello, create", "POST", "/luma/generations", 415, AUTH | {"Content-Type": "text/plain"}, "hello"),
        row("401 no token, text/plain: a simple POST", "POST", "/luma/tasks", 401, {"Content-Type": "text/plain"}, "hello"),
        row("415 gzip", "POST", "/luma/tasks", 415, AUTH | JSON | {"Content-Encoding": "gzip"}, "hello"),
        row("422 wrong types", "POST", "/dream-machine/v1/generations", 422, AUTH | JSON, '{"prompt": {"a": 1}, "loop": [], "keyframes": 7}'),
        row("422 aspect ratio", "POST", "/dream-machine/v1/generations", 422, AUTH | JSON, '{"prompt": "abc", "aspect_ratio": "5:4"}'),
        row("422 wrong types, web app", "POST", "/luma/generations", 422, AUTH | JSON, '{"user_prompt": 7, "loop": {}}'),
        row("431 header of 20 KB", "GET", "/luma/users/me", 431, AUTH | {"X-Long": "a" * 20_000}),
        row("431 header of 20 KB, POST with 2 MiB", "POST", "/luma/tasks", 431, AUTH | JSON | {"X-Long": "a" * 20_000}, {"filled": 2 * MIB}),
        row("431 header of 200 KB", "GET", "/luma/users/me", 431, AUTH | {"X-Long": "a" * 200_000}),
        row("431 150 header fields", "GET", "/luma/users/me", 431, AUTH | {f"X-{n}": "a" for n in range(150)}),
        # A preflight that is too long itself names header fields that its answer would have to repeat.
        row("431 names of 20 KB, so in the preflight too", "GET", "/luma/users/me", "blocked", AUTH | {f"X-{n}-{'a' * 400}": "a" for n in range(50)}),
    ],
    # A relay with narrow limits.
    "narrow": [
        row("408 body held back", "POST", "/luma/tasks", 408, AUTH | JSON, {"filled": 300_000}, gate=True),
        row("408 body held back, create", "POST", "/luma/generations", 408, AUTH | JSON, {"filled": 300_000}, gate=True),
        row("503 no memory for bodies", "POST", "/luma/tasks", 503, AUTH | JSON, {"filled": 2 * MIB}, sees=["retry-after"]),
        row("507 no room for files", "POST", "/luma/generations/file_upload", 507, AUTH, {"form": 300_000}),
        row("201 create with a picture", "POST", "/luma/generations", 201, AUTH | JSON, PICTURE),
        row("507 a second picture", "POST", "/luma/generations", 507, AUTH | JSON, PICTURE),
        row("201 the last create of the minute", "POST", "/luma/generations", 201, AUTH | JSON | {"Idempotency-Key": "k"}, GOOD),
        row("201 replayed", "POST", "/luma/generations", 201, AUTH | JSON | {"Idempotency-Key": "k"}, GOOD,
            sees=["idempotent-replayed"]),
        row("422 another body with the same key", "POST", "/luma/generations", 422, AUTH | JSON | {"Idempotency-Key": "k"},
            '{"user_prompt": "another"}'),
        row("429 one more", "POST", "/luma/generations", 429, AUTH | JSON, GOOD, sees=["retry-after"]),
    ],
    # A relay whose upstream is away, with when_busy = "reject".
    "busy": [
        row("201 before it is known", "POST", "/luma/generations", 201, AUTH | JSON, GOOD),
        row("503 no upstream", "POST", "/luma/generations", 503, AUTH | JSON, GOOD, sees=["retry-after"]),
    ],
}
