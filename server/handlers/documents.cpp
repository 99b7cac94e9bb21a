// The APIs described: made once, when they are first asked for.

#include "server/handlers/handlers.hpp"
#include "server/openapi.hpp"
#include "server/routes.hpp"

namespace relay::handlers {
namespace {

http::reply as(std::string_view type, std::string_view body) {
  http::reply out;
  out.content_type = type;
  out.body = body;
  return out;
}

}  // namespace

awaitable<handled> public_document(call&) {
  static const std::string text = json::serialize(openapi_of_public(public_routes()));
  co_return as("application/json", text);
}

awaitable<handled> admin_document(call&) {
  static const std::string text = json::serialize(openapi_of_admin());
  co_return as("application/json", text);
}

awaitable<handled> show_docs(call&) {
  co_return as("text/html; charset=utf-8", docs_page());
}

awaitable<handled> docs_script(call& c) {
  c.headers.emplace_back("Content-Encoding", "gzip");
  co_return as("text/javascript; charset=utf-8", docs_script_gzip());
}

}  // namespace relay::handlers
