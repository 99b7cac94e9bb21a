"""The official Python SDK, unmodified, every method, against a relay with the simulator behind it.

PYTHONPATH names the folder with the version that is tried: ./dev test makes build/clients/python/newest, and legacy,
from before videos moved to /generations/video. Without it the tests are skipped (exit code 77), and say why.
"""

import sys
import time
import unittest

try:
    import lumaai
except ImportError:
    print("skipped: the official Python SDK is not installed; ./dev test installs it when PyPI can be reached")
    sys.exit(77)

from support import pair

NEWEST = hasattr(lumaai.LumaAI(auth_token="x").generations.video, "modify")
ABSENT = "01936e4f-a1b2-7fff-bfff-ffffffffffff"
MEDIA = {"url": "https://example.com/a.mp4"}


def setUpModule():
    global running
    running = pair()
    running.__enter__()


def tearDownModule():
    running.__exit__()


def client(token=None, **options):
    return lumaai.LumaAI(auth_token=token or running.token, base_url=running.base, **options)


def create(prompt, **more):
    if NEWEST:
        return client().generations.video.create(model="ray-2", prompt=prompt, **more)
    return client().generations.create(prompt=prompt, **more)


def until_done(id):
    end = time.monotonic() + 20
    while time.monotonic() < end:
        generation = client().generations.get(id)
        if generation.state in ("completed", "failed"):
            return generation
    raise AssertionError(f"still {generation.state}")


class every_version(unittest.TestCase):
    def test_create_and_get_until_completed(self):
        made = create("A tiger walking in snow", aspect_ratio="16:9", loop=True)
        self.assertEqual(made.state, "queued")
        self.assertIsNone(made.assets)
        self.assertEqual(made.request.prompt, "A tiger walking in snow")
        self.assertIs(made.request.loop, True)
        done = until_done(made.id)
        self.assertEqual(done.state, "completed")
        self.assertTrue(done.assets.video.endswith(".mp4"))
        self.assertIsNone(done.failure_reason)

    def test_keyframes(self):
        frame = {"type": "image", "url": "https://example.com/a.jpg"}
        made = create("go on", keyframes={"frame0": frame})
        self.assertEqual(made.request.keyframes.frame0.url, frame["url"])

    def test_extend(self):
        first = create("to go on from")
        until_done(first.id)
        made = create("go on", keyframes={"frame0": {"type": "generation", "id": first.id}})
        self.assertEqual(made.request.keyframes.frame0.id, first.id)
        self.assertEqual(until_done(made.id).state, "completed")

    def test_a_job_that_fails_tells_why(self):
        done = until_done(create("a #moderated prompt").id)
        self.assertEqual(done.state, "failed")
        self.assertEqual(done.failure_reason, "Advanced prompt moderation failed")

    def test_list(self):
        made = create("one for the list")
        create("another")
        page = client().generations.list(limit=1, offset=1)
        self.assertEqual([g.id for g in page.generations], [made.id])
        self.assertIs(page.has_more, True)

    def test_delete(self):
        made = create("to be deleted")
        self.assertIsNone(client().generations.delete(made.id))
        with self.assertRaises(lumaai.NotFoundError):
            client().generations.get(made.id)
        with self.assertRaises(lumaai.NotFoundError):
            client().generations.delete(made.id)
        self.assertNotIn(made.id, [g.id for g in client().generations.list(limit=5).generations])

    def test_image(self):
        made = client().generations.image.create(prompt="a cat", model="photon-1",
                                                 image_ref=[{"url": "https://example.com/a.jpg", "weight": 0.5}])
        self.assertEqual(made.generation_type, "image")
        self.assertTrue(until_done(made.id).assets.image.endswith(".jpg"))

    def test_upscale_and_audio(self):
        base = create("to build on").id
        until_done(base)
        up = client().generations.upscale(base, resolution="4k")
        self.assertEqual(up.request.resolution, "4k")
        audio = client().generations.audio(base, prompt="rain", negative_prompt="wind")
        for made in (up, audio):
            self.assertEqual(until_done(made.id).state, "completed")

    def test_credits_and_ping(self):
        self.assertEqual(client().credits.get().credit_balance, 100000.0)
        self.assertEqual(client().ping.check().message, "pong")

    def test_errors(self):
        with self.assertRaises(lumaai.AuthenticationError):
            client("wrong-key").generations.get(ABSENT)
        with self.assertRaises(lumaai.NotFoundError):
            client().generations.get(ABSENT)
        with self.assertRaises(lumaai.BadRequestError) as short:
            create("a")
        self.assertIn("Prompt is too short", str(short.exception))
        with self.assertRaises(lumaai.UnprocessableEntityError):
            create("abc", aspect_ratio="5:4")


@unittest.skipUnless(NEWEST, "not in this version")
class newest(unittest.TestCase):
    def test_what_is_made_of_a_file(self):
        api = client().generations
        made = [
            api.video.reframe(generation_type="reframe_video", model="ray-2", media=MEDIA, aspect_ratio="9:16"),
            api.video.modify(generation_type="modify_video", model="ray-2", media=MEDIA, mode="flex_1"),
            api.image.reframe(generation_type="reframe_image", model="photon-1", media=MEDIA, aspect_ratio="1:1"),
        ]
        self.assertEqual([g.request.generation_type for g in made], ["reframe_video", "modify_video", "reframe_image"])
        for g in made:
            self.assertEqual(until_done(g.id).state, "completed")
        paths = [c["path"].removeprefix("/dream-machine/v1") for c in running.log()["creates"]]
        for path in ("/generations/video/reframe", "/generations/video/modify", "/generations/image/reframe"):
            self.assertEqual(paths.count(path), 1)

    def test_concepts(self):
        self.assertEqual(client().generations.concepts.list(), ["orbit_left", "a_new_one"])


@unittest.skipIf(NEWEST, "only in older versions")
class legacy(unittest.TestCase):
    def test_camera_motions(self):
        self.assertEqual(client().generations.camera_motion.list(), ["camera orbit left"])


if __name__ == "__main__":
    unittest.main()
