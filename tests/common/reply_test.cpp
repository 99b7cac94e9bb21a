#include "common/luma/reply.hpp"

#include <gtest/gtest.h>

namespace relay::luma {
namespace {

TEST(job, every_shape_an_upstream_uses) {
  struct {
    const char* what;
    const char* reply;
    const char* id;
    job_state state;
  } const table[] = {
      {"official", R"({"id":"u","state":"dreaming","assets":null})", "u", job_state::running},
      {"web app", R"({"id":"u","state":"pending","video":null})", "u", job_state::queued},
      {"hybrid", R"({"id":"u","state":"completed","video":{"url":"v"},"assets":{"video":"v"}})", "u",
       job_state::completed},
      {"array", R"([{"id":"u","state":"processing"}])", "u", job_state::running},
      {"envelope", R"({"code":"success","message":"","data":{"id":"u","state":"completed"}})", "u",
       job_state::completed},
      {"envelope of array", R"({"code":"success","data":[{"id":"u","state":"queued"}]})", "u",
       job_state::queued},
      {"envelope, task row",
       R"({"code":"success","data":[{"id":7,"task_id":"u","status":"IN_PROGRESS","data":{"id":"u","state":"processing"}}]})",
       "u", job_state::running},
      {"task row without inner job", R"({"task_id":"u","status":"NOT_START","data":null})", "u",
       job_state::queued},
      {"end-frame wrapper",
       R"({"gen_api_response":{"id":"u","state":"pending"},"gen_api_status":201,"status":"FAILED"})", "u",
       job_state::queued},
      {"row that timed out",
       R"({"task_id":"t","status":"FAILURE","fail_reason":"x","data":{"id":"u","state":"processing"}})", "t",
       job_state::failed},
      {"id alone", R"({"code":"success","message":"","data":"u"})", "u", job_state::queued},
      {"data without a code", R"({"data":[{"id":"u","state":"completed"}]})", "u", job_state::completed},
      {"odd id", R"({"id":"../x y|z+=/é","state":"queued"})", "../x y|z+=/é", job_state::queued},
      {"id of dots", R"({"id":"..","state":"queued"})", "", job_state::queued},
      {"id with a line end", R"({"id":"a\nb","state":"queued"})", "", job_state::queued},
      {"number", R"({"id":12345,"state":"queued"})", "12345", job_state::queued},
      {"number alone", R"({"id":12345})", "12345", job_state::unknown},
      {"unknown word", R"({"id":"u","state":"levitating"})", "u", job_state::unknown},
      {"no word", R"({"id":"u"})", "u", job_state::unknown},
  };
  for (const auto& row : table) {
    const auto j = parse_job(row.reply);
    ASSERT_TRUE(j) << row.what;
    EXPECT_EQ(j->id, row.id) << row.what;
    EXPECT_EQ(j->state, row.state) << row.what;
  }
}

TEST(job, what_is_no_job) {
  for (const char* reply :
       {"", "<html>502</html>", "[]", "{}", "null", "42", R"({"detail":"Not Found"})",
        R"({"code":"fail_to_fetch_task","message":"x","data":null})", R"([[[[[{"id":"u"}]]]]])"}) {
    EXPECT_FALSE(parse_job(reply)) << reply;
  }
}

TEST(job, failure_reason_and_progress) {
  EXPECT_EQ(parse_job(R"({"id":"u","state":"failed","failure_reason":"a"})")->failure_reason, "a");
  EXPECT_EQ(parse_job(R"({"id":"u","status":"FAILURE","fail_reason":"b"})")->failure_reason, "b");
  EXPECT_EQ(parse_job(R"({"id":"u","state":"failed","error":{"message":"c"}})")->failure_reason, "c");
  EXPECT_EQ(parse_job(R"({"id":"u","state":"dreaming","progress":"35%"})")->progress, 35);
  EXPECT_EQ(parse_job(R"({"id":"u","state":"dreaming","progress":35})")->progress, 35);
  EXPECT_EQ(parse_job(R"({"id":"u","state":"dreaming","progress":0.35})")->progress, 35);
  for (const char* odd : {R"("abc")", "-5", "500", "null", "{}"}) {
    EXPECT_FALSE(parse_job(std::string(R"({"id":"u","state":"dreaming","progress":)") + odd + "}")->progress)
        << odd;
  }
}

TEST(job, whether_something_can_be_fetched) {
  for (const char* yes :
       {R"({"id":"u","assets":{"video":"v"}})", R"({"id":"u","assets":{"image":"i","video":null}})",
        R"({"id":"u","video":{"url":"","download_url":"v"}})", R"({"id":"u","video_url":"v"})",
        R"({"id":"u","artifact":{"video":{"url":"v"}}})"}) {
    EXPECT_TRUE(parse_job(yes)->has_result) << yes;
  }
  for (const char* no : {R"({"id":"u"})", R"({"id":"u","assets":null})",
                         R"({"id":"u","assets":{"video":null}})", R"({"id":"u","video":{"url":""}})"}) {
    EXPECT_FALSE(parse_job(no)->has_result) << no;
  }
}

TEST(job, states_in_any_case) {
  EXPECT_EQ(job_state_from("SUCCESS"), job_state::completed);
  EXPECT_EQ(job_state_from("Cancelled"), job_state::failed);
  EXPECT_EQ(job_state_from(""), job_state::unknown);
}

}  // namespace
}  // namespace relay::luma
