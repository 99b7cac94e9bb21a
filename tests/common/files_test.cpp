// Files in what clients send: base64, in JSON, in forms, and what a file is.

#include <gtest/gtest.h>

#include <map>

#include "common/base/base64.hpp"
#include "common/base/digest.hpp"
#include "common/base/file_type.hpp"
#include "common/base/files_in_json.hpp"
#include "common/base/multipart.hpp"

namespace relay {
namespace {

using namespace std::string_literals;

// Keeps what it is given; a file's text is its number.
class kept_files final : public file_output {
 public:
  result<void> begin() override {
    files.emplace_back();
    return {};
  }
  result<void> write(std::string_view bytes) override {
    if (files.back().size() + bytes.size() > most) return fail(errc::body_too_large, "too large");
    files.back().append(bytes);
    return {};
  }
  result<std::string> end() override {
    ++ended;
    return "file-" + std::to_string(files.size());
  }

  std::vector<std::string> files;
  std::size_t ended = 0;
  std::size_t most = 1'000'000;
};

std::string encoded(std::string_view bytes) {
  static constexpr char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t all = 0;
    for (std::size_t j = 0; j < 3; ++j)
      all = all << 8 | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0);
    for (std::size_t j = 0; j < 4; ++j)
      out += i + j <= bytes.size() ? letters[all >> (18 - 6 * j) & 63] : '=';
  }
  return out;
}

std::string some_bytes(std::size_t count) {
  std::string out;
  std::uint32_t state = 7;
  while (out.size() < count) out += static_cast<char>((state = state * 1'664'525 + 1'013'904'223) >> 24);
  return out;
}

TEST(base64, what_clients_send) {
  const struct {
    std::string text;
    bool fine;
    std::string bytes;
  } rows[] = {
      {"", true, ""},
      {"TWFu", true, "Man"},
      {"TWE=", true, "Ma"},
      {"TQ==", true, "M"},
      {"TWE", true, "Ma"},  // not padded
      {"TQ", true, "M"},
      {"TW Fu\r\nTW\tE=\n", true, "ManMa"},
      {"-_-_", true, "\xfb\xff\xbf"},  // RFC 4648 §5
      {"+/+/", true, "\xfb\xff\xbf"},
      {"T", false, ""},
      {"TWFuT", false, ""},
      {"TWE==", false, ""},
      {"TQ=", false, ""},
      {"====", false, ""},
      {"TQ==TQ==", false, ""},
      {"TWFu.", false, ""},
      {"TWF\xc3\xa9", false, ""},
      {"TWF\0"s, false, ""},
  };
  for (const auto& row : rows) {
    for (std::size_t step = 1; step <= row.text.size() + 1; ++step) {
      base64_decoder d;
      std::string out;
      bool fine = true;
      for (std::size_t at = 0; fine && at < row.text.size(); at += step)
        fine = d.feed(std::string_view(row.text).substr(at, step), out);
      fine = fine && d.finish(out);
      EXPECT_EQ(fine, row.fine) << row.text << " in steps of " << step;
      if (row.fine) {
        EXPECT_EQ(out, row.bytes) << row.text << " in steps of " << step;
      }
    }
  }
  for (std::size_t size = 0; size < 100; ++size) {
    base64_decoder d;
    std::string out;
    const std::string bytes = some_bytes(size);
    EXPECT_TRUE(d.feed(encoded(bytes), out) && d.finish(out));
    EXPECT_EQ(out, bytes);
  }
}

TEST(file_type, by_the_first_bytes) {
  const struct {
    std::string bytes;
    std::string_view suffix;  // empty: none
  } rows[] = {
      {"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"s, "png"},
      {"\xff\xd8\xff\xe0\0\x10JFIF"s, "jpg"},
      {"GIF89a\1\0\1\0"s, "gif"},
      {"GIF87a\1\0\1\0"s, "gif"},
      {"RIFF\x10\0\0\0WEBPVP8 "s, "webp"},
      {"\0\0\0\x18"s + "ftypisom\0\0\2\0"s, "mp4"},
      {"\0\0\0\x18"s + "ftypmp42\0\0\0\0"s, "mp4"},
      {"\0\0\0\x18"s + "ftypheic\0\0\0\0"s, ""},
      {"\0\0\0\x18"s + "ftypqt  \0\0\0\0"s, ""},
      {"RIFF\x10\0\0\0WAVEfmt "s, ""},
      {"<svg xmlns='http://www.w3.org/2000/svg'>", ""},
      {"<!DOCTYPE html><script>", ""},
      {"%PDF-1.7 and more of it", ""},
      {"\x89PNG", ""},
      {"", ""},
  };
  for (const auto& row : rows) {
    const auto type = type_of(row.bytes);
    EXPECT_EQ(type ? suffix_of(*type) : "", row.suffix) << row.bytes;
    if (!type) continue;
    EXPECT_EQ(type_from_suffix(suffix_of(*type)), type);
    EXPECT_EQ(type_from_media_type(media_type_of(*type)), type);
  }
  EXPECT_EQ(type_from_media_type(" Image/JPG; q=1"), file_type::jpeg);
  EXPECT_EQ(type_from_media_type("text/html"), std::nullopt);
  EXPECT_EQ(type_from_suffix("PNG"), std::nullopt);
}

struct filtered {
  int status = 0;
  std::string json;
  std::vector<std::string> files;

  friend bool operator==(const filtered&, const filtered&) = default;
};

filtered filter(std::string_view text, std::size_t step, files_in_json_limits limits,
                std::size_t most = 1'000'000) {
  kept_files out;
  out.most = most;
  files_in_json f(out, limits);
  for (std::size_t at = 0; at < text.size(); at += step) {
    if (const auto fed = f.feed(text.substr(at, step)); !fed) return {fed.error().http_status(), "", {}};
  }
  auto json = f.finish();
  if (!json) return {json.error().http_status(), "", {}};
  return {0, *json, out.files};
}

TEST(files_in_json, are_taken_out_and_all_else_stays) {
  const std::string file = "\x89PNG\r\n\x1a\n" + some_bytes(100);
  const std::string text = encoded(file);
  const auto with_slashes = [](std::string s) {
    for (std::size_t at = 0; (at = s.find('/', at)) != s.npos; at += 2) s.insert(at, 1, '\\');
    return s;
  };
  const std::string escaped = "\\u0069\\u0056" + text.substr(2);  // "iV"
  ASSERT_EQ(text.substr(0, 2), "iV");
  const struct {
    std::string text;
    std::string json;
    std::vector<std::string> files;
  } rows[] = {
      {R"({"a":")" + text + R"("})", R"({"a":"file-1"})", {file}},
      {R"({"a":"data:image/png;base64,)" + text + R"(","b":1})", R"({"a":"file-1","b":1})", {file}},
      {R"({"a":"DATA:image/png;charset=utf-8;Base64,)" + text + R"("})", R"({"a":"file-1"})", {file}},
      {R"({"a":"data:;base64,)" + with_slashes(text) + R"("})", R"({"a":"file-1"})", {file}},
      {R"({"a":")" + escaped + R"("})", R"({"a":"file-1"})", {file}},
      {R"({"a":")" + text.substr(0, 76) + R"(\r\n)" + text.substr(76) + R"("})", R"({"a":"file-1"})", {file}},
      {R"([")" + text + R"(", ")" + text + R"("])", R"(["file-1", "file-2"])", {file, file}},
      // Short ones are their field's to read.
      {R"({"a":"aGVsbG8=","b":"data:image/png;base64,aGVsbG8="})", "", {}},
      // Long, and no file.
      {R"({"a":")" + std::string(500, ' ') + R"(\"","b":")" + std::string(100, '.') + R"("})", "", {}},
      {R"({"a":"data:image/png,)" + text + R"("})", "", {}},
      {R"({"a":"data:text/html;charset=utf-8,)" + text + R"("})", "", {}},
      {R"({"a":"https://example.com/)" + std::string(100, 'a') + R"("})", "", {}},
      {R"({"a":")" + std::string(50, 'a') + R"(\\)" + std::string(50, 'a') + R"("})", "", {}},
      {R"({"a":")" + std::string(50, 'a') + R"(\u00e9)" + std::string(50, 'a') + R"("})", "", {}},
      {R"({"a":")" + std::string(50, 'a') + "\xc3\xa9" + std::string(50, 'a') + R"("})", "", {}},
      // What is no JSON is the parser's to refuse.
      {R"({"a":"abc)", "", {}},
      {"no json at all", "", {}},
      {R"("\)", "", {}},
      {"", "", {}},
  };
  const files_in_json_limits limits{64, 10'000};
  for (const auto& row : rows) {
    const filtered want{0, row.json.empty() ? row.text : row.json, row.files};
    for (const std::size_t step : {std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{7},
                                   std::size_t{64}, std::size_t{65}, std::size_t{66}, row.text.size() + 1}) {
      const filtered got = filter(row.text, step, limits);
      EXPECT_EQ(got, want) << row.text << "\nin steps of " << step << " gave " << got.json;
    }
  }
}

// Whether a string is a file does not depend on how its bytes arrive: a retry must look the same.
TEST(files_in_json, the_border_is_sharp) {
  const files_in_json_limits limits{64, 10'000};
  for (std::size_t size = 60; size <= 68; ++size) {
    const std::string text = R"({"a":")" + std::string(size, 'A') + R"("})";
    const filtered at_once = filter(text, text.size(), limits);
    for (std::size_t step = 1; step < 20; ++step) EXPECT_EQ(filter(text, step, limits), at_once) << size;
    const bool whole = size % 4 != 1;
    EXPECT_EQ(at_once.status == 0 && at_once.files.empty(), size <= 64) << size;
    EXPECT_EQ(at_once.status, size > 64 && !whole ? 400 : 0) << size;
    // What begins as a file and does not go on as one is refused, also when all of it is there.
    const std::string other = R"({"a":")" + std::string(size, 'A') + R"(."})";
    for (std::size_t step = 1; step < 100; ++step)
      EXPECT_EQ(filter(other, step, limits).status, size > 64 ? 400 : 0) << size;
  }
}

TEST(files_in_json, what_is_refused) {
  const std::string text = encoded(some_bytes(200));
  const files_in_json_limits limits{64, 200};
  EXPECT_EQ(filter(R"({"a":")" + text + R"(."})", 7, limits).status, 400);
  EXPECT_EQ(filter(R"({"a":")" + text + R"(\u00e9"})", 7, limits).status, 400);
  EXPECT_EQ(filter(R"({"a":")" + text + R"(\\"})", 7, limits).status, 400);
  EXPECT_EQ(filter(R"({"a":")" + text + R"("})", 7, limits).status, 0);
  EXPECT_EQ(filter(R"({"a":")" + text + R"("})", 7, limits, 100).status, 413);
  EXPECT_EQ(filter(R"({"a":")" + std::string(300, '.') + R"("})", 7, limits).status, 413);
  EXPECT_EQ(filter(std::string(300, '['), 7, limits).status, 413);
}

TEST(files_in_json, what_may_be_one) {
  for (const std::string& text : {"data:image/png;base64,aGk="s, "DATA:,x"s,
                                  "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"s})
    EXPECT_TRUE(may_be_file(text)) << text;
  for (const std::string& text : {""s, "https://example.com/a.png"s,
                                  "example.com/"s + std::string(50, 'a') + ".png", "a cat"s, "dat"s, "QUJD"s})
    EXPECT_FALSE(may_be_file(text)) << text;
}

// ---- forms

filtered form(std::string_view boundary, std::string_view body, std::size_t step) {
  kept_files out;
  multipart_file f(boundary, out);
  for (std::size_t at = 0; at < body.size(); at += step) {
    if (const auto fed = f.feed(body.substr(at, step)); !fed) return {fed.error().http_status(), "", {}};
  }
  const auto text = f.finish();
  if (!text) return {text.error().http_status(), "", {}};
  return {0, *text, out.files};
}

TEST(multipart, the_file_in_a_form) {
  const std::string file_fields =
      "Content-Disposition: form-data; name=\"file\"; filename=\"a \\\"b\\\".png\"\r\nContent-Type: "
      "image/png\r\n\r\n";
  const std::string text_part = "--B\r\nContent-Disposition: form-data; name=\"filename=x\"\r\n\r\nvalue\r\n";
  const std::string tricky = "\r\n--A\r\n--\r\n-\r\n\r\n-B no, \r\r\n--";
  const struct {
    const char* what;
    std::string body;
    int status;
    std::string file;
  } rows[] = {
      {"plain", "--B\r\n" + file_fields + "bytes\r\n--B--\r\n", 0, "bytes"},
      {"no line after the end", "--B\r\n" + file_fields + "bytes\r\n--B--", 0, "bytes"},
      {"before and after", "preamble\r\n--B\r\n" + file_fields + "bytes\r\n--B--\r\nepilogue --B", 0,
       "bytes"},
      {"spaces behind the boundary", "--B \t\r\n" + file_fields + "bytes\r\n--B--\r\n", 0, "bytes"},
      {"other parts", text_part + "--B\r\n" + file_fields + "bytes\r\n" + text_part + "--B--\r\n", 0,
       "bytes"},
      {"lines like boundaries", "--B\r\n" + file_fields + tricky + "\r\n--B--\r\n", 0, tricky},
      {"empty file", "--B\r\n" + file_fields + "\r\n--B--\r\n", 0, ""},
      {"encoded name",
       "--B\r\ncontent-disposition:form-data;name=f;filename*=UTF-8''%e2%82%ac.png\r\n\r\nx\r\n--B--", 0,
       "x"},
      {"no fields", "--B\r\n\r\nvalue\r\n--B\r\n" + file_fields + "x\r\n--B--", 0, "x"},
      {"no file", text_part + "--B--\r\n", 400, ""},
      {"two files", "--B\r\n" + file_fields + "x\r\n--B\r\n" + file_fields + "y\r\n--B--", 400, ""},
      {"no end", "--B\r\n" + file_fields + "bytes", 400, ""},
      {"other boundary", "--C\r\n" + file_fields + "bytes\r\n--C--\r\n", 400, ""},
      {"junk behind the boundary", "--B junk\r\n" + file_fields + "bytes\r\n--B--\r\n", 400, ""},
      {"long fields", "--B\r\nX: " + std::string(9'000, 'a') + "\r\n\r\nx\r\n--B--", 400, ""},
      // RFC 2046 §5.1.1: no line of a part begins with the boundary.
      {"a line that begins as the boundary", "--B\r\n" + file_fields + "x\r\n--BB\r\n--B--", 400, ""},
      {"empty", "", 400, ""},
  };
  for (const auto& row : rows) {
    for (const std::size_t step : {std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{5},
                                   std::size_t{16}, row.body.size() + 1}) {
      const filtered got = form("B", row.body, step);
      EXPECT_EQ(got.status, row.status) << row.what << " in steps of " << step;
      if (row.status != 0) continue;
      EXPECT_EQ(got.files, std::vector<std::string>{row.file}) << row.what << " in steps of " << step;
    }
  }
}

TEST(multipart, boundaries) {
  const struct {
    std::string type;
    std::string boundary;  // empty: none
  } rows[] = {
      {"multipart/form-data; boundary=abc", "abc"},
      {"Multipart/Form-Data; charset=utf-8; Boundary=\"a b;c\"", "a b;c"},
      {"multipart/form-data;boundary=abc ; x=y", "abc"},
      {"multipart/form-data", ""},
      {"multipart/form-data; boundary=", ""},
      {"multipart/form-data; boundary=" + std::string(71, 'a'), ""},
      {"multipart/mixed; boundary=abc", ""},
      {"application/json", ""},
      {"", ""},
  };
  for (const auto& row : rows) EXPECT_EQ(multipart_boundary(row.type).value_or(""), row.boundary) << row.type;
}

TEST(digest, in_parts_and_keyed) {
  sha256_stream s;
  s.feed("ab");
  s.feed("");
  s.feed("c");
  EXPECT_EQ(hex_of(s.finish()), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  // RFC 4231 §4.3
  EXPECT_EQ(hex_of(hmac_sha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

}  // namespace
}  // namespace relay
