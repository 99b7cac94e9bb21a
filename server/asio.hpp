#pragma once

// The few names of Asio the server uses everywhere. One concrete executor instead of any_io_executor saves
// 3,000 instructions a request. Read the g++ warning in the README before writing temporaries inside
// co_await.

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>

namespace relay {

namespace asio = boost::asio;

using executor = asio::io_context::executor_type;
using steady_clock = std::chrono::steady_clock;

template <class T = void>
using awaitable = asio::awaitable<T, executor>;

/// Completion as a value: `auto [ec, n] = co_await socket.async_read_some(buffer, as_result);`
inline constexpr asio::as_tuple_t<asio::use_awaitable_t<executor>> as_result{
    asio::use_awaitable_t<executor>{}};
inline constexpr asio::use_awaitable_t<executor> use_awaitable{};

/// Of a TCP or a Unix connection: what is served is the same.
using stream_socket = asio::basic_stream_socket<asio::generic::stream_protocol, executor>;
using tcp_socket = asio::basic_stream_socket<asio::ip::tcp, executor>;
using steady_timer = asio::basic_waitable_timer<steady_clock, asio::wait_traits<steady_clock>, executor>;

}  // namespace relay
