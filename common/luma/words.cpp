#include "common/luma/words.hpp"

#include <array>

namespace relay::luma {
namespace {

// In the order of task_state.
using words = std::array<std::string_view, std::size(all_states)>;

constexpr words official = {"queued", "queued", "queued", "dreaming", "completed", "failed"};
constexpr words web_app = {"pending", "pending", "pending", "processing", "completed", "failed"};
constexpr words envelope = {"SUBMITTED", "SUBMITTED", "QUEUED", "IN_PROGRESS", "SUCCESS", "FAILURE"};

std::string_view word(const words& w, task_state s) {
  return w[static_cast<std::size_t>(s)];
}

}  // namespace

std::string_view official_state(task_state s) {
  return word(official, s);
}
std::string_view web_app_state(task_state s) {
  return word(web_app, s);
}
std::string_view envelope_status(task_state s) {
  return word(envelope, s);
}

}  // namespace relay::luma
