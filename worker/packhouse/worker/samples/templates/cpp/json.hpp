// Reads JSON: as much of it as the files of a candidate's folder need.
#pragma once

#include <cctype>
#include <cstddef>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

struct Json {
  enum class Kind { null, boolean, number, string, array, object };

  Kind kind = Kind::null;
  bool truth = false;
  std::string text;  // of a string, and of a number as it is written
  std::vector<Json> items;
  std::vector<std::pair<std::string, Json>> members;

  bool is(Kind other) const { return kind == other; }

  // The member of that name; a null where there is none.
  const Json& operator[](const std::string& name) const {
    static const Json none;
    for (const auto& member : members) {
      if (member.first == name) return member.second;
    }
    return none;
  }

  // As text for the options of ONNX Runtime: true and false the way that Python writes them.
  std::string as_text() const {
    if (kind == Kind::boolean) return truth ? "True" : "False";
    return text;
  }

  // Throws std::runtime_error where the text is not JSON.
  static Json parse(const std::string& text);
};

class JsonReader {
 public:
  explicit JsonReader(const std::string& text) : text_(text) {}

  Json document() {
    take_word("\xEF\xBB\xBF");  // the mark that some editors put before UTF-8
    Json value = read(0);
    skip_space();
    if (at_ != text_.size()) fail();
    return value;
  }

 private:
  static constexpr int deepest = 200;

  [[noreturn]] void fail() const { throw std::runtime_error("no JSON at byte " + std::to_string(at_)); }

  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t')) ++at_;
  }

  bool take(char wanted) {
    skip_space();
    if (peek() != wanted) return false;
    ++at_;
    return true;
  }

  bool take_word(const char* word) {
    const std::string wanted(word);
    if (text_.compare(at_, wanted.size(), wanted) != 0) return false;
    at_ += wanted.size();
    return true;
  }

  Json read(int depth) {
    if (depth > deepest) fail();
    skip_space();
    Json value;
    if (take('{')) {
      value.kind = Json::Kind::object;
      if (take('}')) return value;
      do {
        skip_space();
        std::string name = string();
        if (!take(':')) fail();
        value.members.emplace_back(std::move(name), read(depth + 1));
      } while (take(','));
      if (!take('}')) fail();
    } else if (take('[')) {
      value.kind = Json::Kind::array;
      if (take(']')) return value;
      do {
        value.items.push_back(read(depth + 1));
      } while (take(','));
      if (!take(']')) fail();
    } else if (peek() == '"') {
      value.kind = Json::Kind::string;
      value.text = string();
    } else if (take_word("true")) {
      value.kind = Json::Kind::boolean;
      value.truth = true;
    } else if (take_word("false")) {
      value.kind = Json::Kind::boolean;
    } else if (!take_word("null")) {
      value.kind = Json::Kind::number;
      while (std::isdigit(static_cast<unsigned char>(peek())) || (peek() != '\0' && std::string("+-.eE").find(peek()) != std::string::npos)) {
        value.text += text_[at_++];
      }
      if (value.text.empty()) fail();
    }
    return value;
  }

  std::string string() {
    if (peek() != '"') fail();
    ++at_;
    std::string value;
    while (peek() != '"') {
      if (at_ >= text_.size()) fail();
      const char next = text_[at_++];
      if (next != '\\') {
        value += next;
        continue;
      }
      const char escaped = peek();
      ++at_;
      switch (escaped) {
        case 'b': value += '\b'; break;
        case 'f': value += '\f'; break;
        case 'n': value += '\n'; break;
        case 'r': value += '\r'; break;
        case 't': value += '\t'; break;
        case 'u': append_utf8(value, code_point()); break;
        case '"': case '\\': case '/': value += escaped; break;
        default: fail();
      }
    }
    ++at_;
    return value;
  }

  unsigned unit() {
    if (at_ + 4 > text_.size()) fail();
    unsigned value = 0;
    for (int digit = 0; digit < 4; ++digit) {
      const char next = text_[at_++];
      if (!std::isxdigit(static_cast<unsigned char>(next))) fail();
      value = value * 16 + static_cast<unsigned>(std::strtoul(std::string(1, next).c_str(), nullptr, 16));
    }
    return value;
  }

  unsigned code_point() {
    const unsigned first = unit();
    if (first < 0xD800 || first > 0xDBFF || text_.compare(at_, 2, "\\u") != 0) return first;
    at_ += 2;
    const unsigned second = unit();
    if (second < 0xDC00 || second > 0xDFFF) fail();
    return 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
  }

  static void append_utf8(std::string& out, unsigned code) {
    if (code < 0x80) {
      out += static_cast<char>(code);
    } else if (code < 0x800) {
      out += static_cast<char>(0xC0 | (code >> 6));
      out += static_cast<char>(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
      out += static_cast<char>(0xE0 | (code >> 12));
      out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
      out += static_cast<char>(0x80 | (code & 0x3F));
    } else {
      out += static_cast<char>(0xF0 | (code >> 18));
      out += static_cast<char>(0x80 | ((code >> 12) & 0x3F));
      out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
      out += static_cast<char>(0x80 | (code & 0x3F));
    }
  }

  const std::string& text_;
  std::size_t at_ = 0;
};

inline Json Json::parse(const std::string& text) { return JsonReader(text).document(); }
