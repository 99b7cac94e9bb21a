#include "server/routes.hpp"

#include "common/luma/actions.hpp"
#include "common/luma/dialects.hpp"
#include "common/luma/word_lists.hpp"
#include "server/handlers/files.hpp"
#include "server/handlers/handlers.hpp"

namespace relay {
namespace {

using http::verb;
using namespace handlers;
namespace a = luma::actions;
constexpr auto key = access::token;
constexpr const dialect* official = &luma::dialects::dream_machine;
constexpr const dialect* web_app = &luma::dialects::web_app;
constexpr const dialect* envelope = &luma::dialects::tasks;

// A create may have files in it.
constexpr route create(std::string_view pattern, std::string_view name, const dialect* speaks,
                       const action* of) {
  route out{verb::post, pattern, name, key, speaks, create_generation, of};
  out.receive = receive_create;
  return out;
}

// A file is uploaded.
constexpr route upload(verb method, std::string_view pattern, std::string_view name, access needs,
                       awaitable<handled> (*handle)(call&),
                       result<http::body_plan> (*receive)(const body_to_come&)) {
  route out{method, pattern, name, needs, web_app, handle};
  out.receive = receive;
  return out;
}

// clang-format off
constexpr route public_rows[] = {
    create("/dream-machine/v1/generations"                 , "create", official, &a::generations),
    create("/dream-machine/v1/generations/video"           , "create", official, &a::video),
    create("/dream-machine/v1/generations/image"           , "create", official, &a::image),
    create("/dream-machine/v1/generations/image/reframe"   , "create", official, &a::image_reframe),
    create("/dream-machine/v1/generations/video/reframe"   , "create", official, &a::video_reframe),
    create("/dream-machine/v1/generations/video/modify"    , "create", official, &a::video_modify),
    create("/dream-machine/v1/generations/{id}/upscale"    , "create", official, &a::upscale),
    create("/dream-machine/v1/generations/{id}/audio"      , "create", official, &a::audio),
    {verb::get,  "/dream-machine/v1/generations",              "list",          key, official, list_generations},
    {verb::get,  "/dream-machine/v1/generations/{id}",         "get",           key, official, get_generation},
    {verb::delete_, "/dream-machine/v1/generations/{id}",      "delete",        key, official, delete_generation},
    {verb::get,  "/dream-machine/v1/generations/{id}/events",  "events",        key, official, generation_events},
    {verb::get,  "/dream-machine/v1/generations/concepts/list",      "words",   key, official, list_words, nullptr, nullptr, &luma::word_lists::concepts},
    {verb::get,  "/dream-machine/v1/generations/camera_motion/list", "words",   key, official, list_words, nullptr, nullptr, &luma::word_lists::camera_motions},
    {verb::get,  "/dream-machine/v1/credits",                  "credits",       key, official, credits},
    {verb::get,  "/dream-machine/v1/ping",                     "ping",          key, official, ping},

    create("/luma/generations"                             , "luma-create", web_app, &a::generations),
    {verb::get,  "/luma/generations/{id}",                     "luma-get",      key, web_app,  get_generation},
    {verb::get,  "/luma/generations/{id}/events",              "luma-events",   key, web_app,  generation_events},
    create("/luma/generations/{id}/extend"                 , "luma-extend", web_app, &a::generations),
    {verb::get,  "/luma/generations/{id}/download_video_url",  "luma-download", key, web_app,  get_generation, nullptr, &luma::forms::download_link},
    {verb::get,  "/luma/subscription/usage",                   "usage",         key, web_app,  subscription_usage},
    {verb::get,  "/luma/users/me",                             "me",            key, web_app,  users_me},

    {verb::get,  "/relay/v1/usage",                            "own-usage",     key, official, own_usage},
    {verb::get,  "/v1/dashboard/billing/subscription",         "billing-subscription", key, official, billing_subscription},
    {verb::get,  "/v1/dashboard/billing/usage",                "billing-usage", key, official, billing_usage},

    upload(verb::post, "/luma/generations/file_upload", "upload", key, upload_file, receive_upload),
    upload(verb::post, "/dream-machine/v1/generations/file_upload", "upload", key, upload_file, receive_upload),
    {verb::post, "/customers/storage",                         "announce-upload", key, web_app, announce_upload},
    upload(verb::put, "/uploads/{id}/{key}", "put", access::open, put_file, receive_put),
    {verb::get,  "/assets/{id}",                               "asset",         access::open, web_app, get_file},

    {verb::post, "/luma/tasks",                                "tasks",         key, envelope, batch_tasks},
    {verb::get,  "/luma/tasks/events",                         "tasks-events",  key, envelope, task_events},

    {verb::post, "/callbacks/{id}/{key}",                      "upstream-callback", access::open, official, upstream_callback},
    {verb::get,  "/healthz",                                   "healthz",       access::open, official, healthz},
    {verb::get,  "/readyz",                                    "readyz",        access::open, official, readyz},
    {verb::get,  "/openapi.json",                              "openapi",       access::open, official, public_document},
    {verb::get,  "/docs",                                      "docs",          access::open, official, show_docs},
    {verb::get,  "/docs/renderer.js",                          "docs-script",   access::open, official, docs_script},
};

constexpr route admin_rows[] = {
    {verb::get,  "/metrics",                                   "metrics",       access::open, official, show_metrics},
    {verb::get,  "/healthz",                                   "healthz",       access::open, official, healthz},
    {verb::get,  "/readyz",                                    "readyz",        access::open, official, readyz},
    {verb::get,  "/openapi.json",                              "openapi",       access::open, official, admin_document},
    {verb::get,  "/docs",                                      "docs",          access::open, official, show_docs},
    {verb::get,  "/docs/renderer.js",                          "docs-script",   access::open, official, docs_script},
};
// clang-format on

// Prefixes that some clients have built in: /v1/luma/…, /luma/v1/…, the same with pro and vip,
// /luma/dream-machine/…, and ComfyUI's /proxy/luma/…, which speaks the official dialect.
std::string_view canonical(std::string_view path, std::string& changed) {
  const auto has_segment = [](std::string_view p, std::string_view segment) {
    return p.starts_with(segment) && p.size() > segment.size() && p[segment.size()] == '/';
  };
  constexpr std::string_view comfy = "/proxy/luma";
  if (has_segment(path, comfy))
    return changed = std::string("/dream-machine/v1").append(path.substr(comfy.size()));
  constexpr std::string_view luma = "/luma";
  constexpr std::string_view tiers[] = {"/v1", "/pro", "/vip"};
  for (const std::string_view tier : tiers) {
    if (has_segment(path, tier) && has_segment(path.substr(tier.size()), luma))
      path.remove_prefix(tier.size());
  }
  if (!has_segment(path, luma)) return path;
  const std::string_view rest = path.substr(luma.size());
  if (has_segment(rest, "/dream-machine")) return rest;
  for (const std::string_view tier : tiers) {
    if (has_segment(rest, tier)) return changed = std::string(luma) + std::string(rest.substr(tier.size()));
  }
  return path;
}

std::string_view as_it_is(std::string_view path, std::string&) {
  return path;
}

const dialect& spoken_at(std::string_view path) {
  return path.starts_with("/luma/tasks") ? *envelope : *official;
}

constexpr std::string_view public_hint =
    "the API is under /dream-machine/v1/generations, /luma/generations and /luma/tasks";
constexpr std::string_view admin_hint =
    "this port has /admin/v1, /openapi.json, /docs, /metrics, /healthz and /readyz";

}  // namespace

const route_table& public_routes() {
  static constexpr std::string_view prefixes[] = {"/dream-machine/v1/", "/luma/", "/relay/v1/"};
  static constexpr route_table table{public_rows, canonical, spoken_at, public_hint, prefixes};
  return table;
}
const route_table& admin_routes() {
  static constexpr route_table table{admin_rows, as_it_is, spoken_at, admin_hint};
  return table;
}

}  // namespace relay
