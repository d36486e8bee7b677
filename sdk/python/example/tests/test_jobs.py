import unittest

from windlass_sdk import CallbackEvent, Failure
from windlass_sdk.testing import MockHost, Reply, TestStep

from jobs import plugin


class Jobs(unittest.TestCase):
    def setUp(self):
        self.host = MockHost({"jobs": "https://jobs.test/v1"})

    def submitted(self, **input):
        self.host.reply("POST /jobs", Reply.json(201, {"id": "j-1", "state": "queued"}))
        return TestStep(plugin, "submit", {"title": "index", **input})

    def test_a_job_is_submitted_once_and_waited_for(self):
        step = self.submitted()
        self.host.reply("GET /jobs/j-1", Reply.json(200, {"id": "j-1", "state": "running"}))
        self.host.reply("GET /jobs/j-1", Reply.status(503))
        done = {"id": "j-1", "state": "done", "artifact": "https://jobs.test/a", "seconds": 4}
        self.host.reply("GET /jobs/j-1", Reply.json(200, done))
        self.assertEqual(step.run(self.host), {"id": "j-1", "artifact": "https://jobs.test/a", "seconds": 4})
        self.assertEqual(self.host.requests[0].json(), {"title": "index", "priority": "normal"})
        self.assertEqual(self.host.requests[0].headers.get("Idempotency-Key"), TestStep.key("start"))
        # Another attempt finds the checkpoint.
        self.assertEqual(step.start(self.host).suspended.status, "job j-1 is in the queue")
        self.assertEqual(self.host.count("POST /jobs"), 1)

    def test_a_rejection_is_a_failure_of_its_own_that_is_not_tried_again(self):
        self.host.reply("POST /jobs", Reply.json(422, {"error": "no such index"}))
        with self.assertRaises(Failure) as caught:
            TestStep(plugin, "submit", {"title": "index"}).start(self.host)
        self.assertEqual((caught.exception.code, caught.exception.advice), ("job-rejected", "never"))
        self.assertEqual(str(caught.exception), "the service rejects `index`: no such index")

    def test_the_service_calls_back(self):
        step = self.submitted(notify=True)
        suspended = step.start(self.host).suspended
        self.assertEqual(self.host.requests[0].json()["notify"], "https://windlass.test/callbacks/topic-1")
        self.assertEqual(suspended.wakes, [("after", 2000), ("callback", "topic-1")])
        self.host.reply("GET /jobs/j-1", Reply.json(200, {"id": "j-1", "state": "failed", "reason": "disk full"}))
        with self.assertRaises(Failure) as caught:
            step.resume(self.host, suspended, CallbackEvent("topic-1"))
        self.assertEqual(caught.exception.message, "job j-1 failed: disk full")
        self.assertEqual(self.host.lines[-1].fields, {"topic": "its own"})

    def test_a_rollback_withdraws_all_jobs_also_one_whose_answer_got_lost(self):
        step = self.submitted()
        self.host.reply("GET /jobs/j-1", Reply.json(200, {"id": "j-1", "state": "failed", "reason": "no room"}))
        with self.assertRaises(Failure) as caught:
            step.run(self.host)
        self.assertEqual(caught.exception.code, "job-failed")
        # That was an answer: another attempt is another job.
        again = step.start_anew()
        self.host.reply("POST /jobs", Reply.status(503))
        with self.assertRaises(Failure) as caught:
            again.run(self.host)
        self.assertEqual(caught.exception.code, "http-503")
        self.host.reply("GET /jobs", Reply.json(200, {"jobs": [{"id": "j-2", "state": "queued"}]}))
        self.host.reply("DELETE /jobs/j-1", Reply.status(404))
        self.host.reply("DELETE /jobs/j-2", Reply.status(204))
        self.assertEqual(again.rollback(self.host), {"withdrawn": ["j-2"]})
        looked = next(it for it in self.host.requests if it.route == "GET /jobs")
        self.assertEqual(looked.query["key"], TestStep.start_key(2))

    def test_a_job_is_found_by_its_key(self):
        step = TestStep(plugin, "submit", {"title": "index"})
        self.host.reply("GET /jobs", Reply.json(200, {"jobs": []}))
        self.host.reply("GET /jobs", Reply.json(200, {"jobs": [{"id": "j-7", "state": "running"}]}))
        self.assertIsNone(step.find(self.host))
        self.assertEqual(step.find(self.host).suspended.state, {"id": "j-7"})
        self.assertEqual(self.host.requests[0].query["key"], TestStep.key("start"))


if __name__ == "__main__":
    unittest.main()
