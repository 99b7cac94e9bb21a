#include "server/routes.hpp"

#include "server/handlers/handlers.hpp"

namespace relay {
namespace {

using http::verb;
constexpr auto official = dialect_id::dream_machine;
constexpr auto station = dialect_id::luma;
constexpr auto plain = error_shape::official;
constexpr auto envelope = error_shape::envelope;

// clang-format off
constexpr route public_table[] = {
    {verb::post, "/dream-machine/v1/generations",       "create",            access::token, official, plain, endpoint::generations, handlers::create_generation},
    {verb::post, "/dream-machine/v1/generations/video", "create",            access::token, official, plain, endpoint::video,       handlers::create_generation},
    {verb::post, "/dream-machine/v1/generations/image", "create",            access::token, official, plain, endpoint::image,       handlers::create_generation},
    {verb::get,  "/dream-machine/v1/generations",       "list",              access::token, official, plain, endpoint::generations, handlers::list_generations},
    {verb::get,  "/dream-machine/v1/generations/{id}",  "get",               access::token, official, plain, endpoint::generations, handlers::get_generation},
    {verb::get,  "/dream-machine/v1/generations/{id}/events", "events",      access::token, official, plain, endpoint::generations, handlers::generation_events},
    {verb::get,  "/dream-machine/v1/ping",              "ping",              access::token, official, plain, endpoint::generations, handlers::ping},

    {verb::post, "/luma/generations",                   "luma-create",       access::token, station,  plain, endpoint::generations, handlers::create_generation},
    {verb::get,  "/luma/generations/{id}",              "luma-get",          access::token, station,  plain, endpoint::generations, handlers::get_generation},
    {verb::get,  "/luma/generations/{id}/events",       "luma-events",       access::token, station,  plain, endpoint::generations, handlers::generation_events},
    {verb::post, "/luma/generations/{id}/extend",       "luma-extend",       access::token, station,  plain, endpoint::generations, handlers::extend_generation},
    {verb::get,  "/luma/generations/{id}/download_video_url", "luma-download", access::token, station, plain, endpoint::generations, handlers::download_url},
    {verb::post, "/luma/tasks",                         "tasks",             access::token, station,  envelope, endpoint::generations, handlers::batch_tasks},

    {verb::get,  "/luma/tasks/events",                  "tasks-events",      access::token, station,  envelope, endpoint::generations, handlers::task_events},

    {verb::post, "/callbacks/{id}/{key}",               "upstream-callback", access::open,  official, plain, endpoint::generations, handlers::upstream_callback},
    {verb::get,  "/healthz",                            "healthz",           access::open,  official, plain, endpoint::generations, handlers::healthz},
    {verb::get,  "/readyz",                             "readyz",            access::open,  official, plain, endpoint::generations, handlers::readyz},
};

constexpr route admin_table[] = {
    {verb::get,  "/metrics",                            "metrics",           access::open,  official, plain, endpoint::generations, handlers::show_metrics},
    {verb::get,  "/healthz",                            "healthz",           access::open,  official, plain, endpoint::generations, handlers::healthz},
    {verb::get,  "/readyz",                             "readyz",            access::open,  official, plain, endpoint::generations, handlers::readyz},
};
// clang-format on

}  // namespace

std::span<const route> public_routes() {
  return public_table;
}
std::span<const route> admin_routes() {
  return admin_table;
}

}  // namespace relay
