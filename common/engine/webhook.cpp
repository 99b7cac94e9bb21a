#include "common/engine/webhook.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <stdexcept>

namespace relay {
namespace {

std::string base64(std::string_view bytes) {
  std::string out(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int length =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                      reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  out.resize(static_cast<std::size_t>(length));
  return out;
}

}  // namespace

std::string webhook_secret_text(const secret& bytes) {
  return "whsec_" + base64(bytes.reveal());
}

std::string message_id(const task& t) {
  return "msg_" + t.id + "_" + std::to_string(t.callbacks_done + 1);
}

task as_told(const task& t) {
  task told = t;
  if (t.owed.empty()) return told;
  const task_state state = t.owed.front() == 'd'   ? task_state::dreaming
                           : t.owed.front() == 'c' ? task_state::completed
                                                   : task_state::failed;
  told.progress = -1;
  if (state == task_state::dreaming) told.reply.clear();
  if (t.state == state) return told;
  told.state = state;
  if (state != task_state::failed) {
    told.fail_reason.clear();
    told.finished_at = never;
  } else if (told.fail_reason.empty()) {
    told.fail_reason = "The job did not end within the time allowed";  // and then it did, after all
  }
  return told;
}

std::string sign(const secret& bytes, std::string_view id, std::int64_t unix_seconds, std::string_view body) {
  std::string message;
  message.reserve(id.size() + body.size() + 24);
  message.append(id).append(".").append(std::to_string(unix_seconds)).append(".").append(body);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  const std::string& key = bytes.reveal();
  if (HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
           reinterpret_cast<const unsigned char*>(message.data()), message.size(), digest,
           &size) == nullptr) {
    throw std::runtime_error("HMAC-SHA256 failed");
  }
  return "v1," + base64({reinterpret_cast<const char*>(digest), size});
}

}  // namespace relay
