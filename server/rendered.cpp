#include "server/rendered.hpp"

#include "common/luma/dialect.hpp"

namespace relay {
namespace {

std::string render(rendering how, const task& t, timestamp now) {
  switch (how) {
    case rendering::official:
      return json::serialize(dialects::dream_machine.render(t, now));
    case rendering::web_app:
      return json::serialize(dialects::luma.render(t, now));
    case rendering::item:
      break;
  }
  return json::serialize(render_item(t, now));
}

}  // namespace

std::string rendered_tasks::get(rendering how, const task& t, timestamp now) {
  if (how == rendering::item && t.state == task_state::dreaming) return render(how, t, now);
  entry* kept = kept_.find(t.id);
  if (kept == nullptr) {
    kept_.put(t.id, {t.revision, {}});
    kept = kept_.find(t.id);
    if (kept == nullptr) return render(how, t, now);  // a cache of size 0
  } else if (kept->revision != t.revision) {
    *kept = {t.revision, {}};
  }
  std::string& bytes = kept->bytes[static_cast<std::size_t>(how)];
  if (bytes.empty()) bytes = render(how, t, now);
  return bytes;
}

}  // namespace relay
