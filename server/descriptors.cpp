#include "server/descriptors.hpp"

#include <sys/resource.h>

#include <algorithm>

#include "server/assets/assets.hpp"
#include "server/names/resolver.hpp"

namespace relay {
namespace {

constexpr rlim_t most = 1'048'576;
constexpr std::size_t for_itself =
    128 + 2 * resolver::most_at_once;  // database, log, listeners, operators, names
constexpr std::size_t fewest_clients = 64;

}  // namespace

std::size_t descriptor_limit() {
  rlimit l{};
  if (::getrlimit(RLIMIT_NOFILE, &l) != 0) return 1'024;
  return static_cast<std::size_t>(std::min(l.rlim_cur, most));
}

std::size_t raise_descriptor_limit() {
  rlimit l{};
  if (::getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < std::min(l.rlim_max, most)) {
    l.rlim_cur = std::min(l.rlim_max, most);
    ::setrlimit(RLIMIT_NOFILE, &l);
  }
  return descriptor_limit();
}

descriptor_plan plan_descriptors(const config& c, std::size_t limit) {
  descriptor_plan out;
  std::int64_t others = c.callbacks.concurrency;
  for (const upstream_config& u : c.upstreams) others += u.max_connections + c.poll.concurrency;
  if (!c.server.public_url.empty() && c.assets.max_bytes > 0)
    others += static_cast<std::int64_t>(2 * most_open_assets);
  out.reserve = for_itself + static_cast<std::size_t>(others);
  const auto wanted = static_cast<std::size_t>(c.server.max_connections);
  const std::size_t left = limit > out.reserve ? limit - out.reserve : 0;
  out.clients = std::min(wanted, std::max(left, std::min(fewest_clients, limit / 2)));
  if (out.clients < wanted) {
    out.warning =
        "this process may open " + std::to_string(limit) +
        " files; the database, upstreams and callbacks may need " + std::to_string(out.reserve) +
        ": clients get " + std::to_string(out.clients) + " connections, not " + std::to_string(wanted) +
        "; raise the limit (ulimit -n, LimitNOFILE, --ulimit nofile) or lower server.max_connections";
  }
  return out;
}

}  // namespace relay
