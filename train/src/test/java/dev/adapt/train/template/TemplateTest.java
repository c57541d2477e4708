package dev.adapt.train.template;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.adapt.formats.FormatException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Stream;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

@DisplayName("A chat template")
class TemplateTest {
    private static final Path FILE = Path.of("base", "chat_template.jinja");
    private static final ZonedDateTime NOW = ZonedDateTime.of(2024, 7, 5, 9, 8, 7, 0, ZoneOffset.UTC);
    private static final JsonMapper JSON = new JsonMapper();

    @ParameterizedTest(name = "{0}, {1}")
    @MethodSource
    @DisplayName("of a known model gives what Jinja2 gives, set up as transformers does")
    void knownModels(String template, String conversation, JsonNode expected) throws IOException {
        Template parsed = Template.parse(FILE, resource(template));
        Map<String, Object> values = values(expected.get("values"));
        if (expected.has("text")) {
            assertEquals(expected.get("text").textValue(), parsed.render(values, NOW));
        } else {
            FormatException fault = assertThrows(FormatException.class, () -> parsed.render(values, NOW));
            assertTrue(fault.getMessage().contains(expected.path("reason").asText("")), fault::getMessage);
        }
    }

    static Stream<Arguments> knownModels() throws IOException {
        List<Arguments> cases = new ArrayList<>();
        for (JsonNode expected : JSON.readTree(resource("expected.json"))) {
            String kind = expected.get("conversation").textValue()
                    + (expected.get("values").get("add_generation_prompt").booleanValue() ? " and a prompt" : "");
            cases.add(Arguments.of(expected.get("template").textValue(), kind, expected));
        }
        assertTrue(cases.size() > 150, "few cases were found");
        return cases.stream();
    }

    @Test
    @DisplayName("gives what Jinja2 gives for every operator, filter, test and method, or fails where that fails")
    void expressions() throws IOException {
        JsonNode file = JSON.readTree(resource("expressions.json"));
        Map<String, Object> values = values(file.get("values"));
        List<String> wrong = new ArrayList<>();
        for (JsonNode expected : file.get("cases")) {
            String template = expected.get("template").textValue();
            String text;
            try {
                text = Template.parse(FILE, template).render(values, NOW);
            } catch (FormatException fault) {
                text = "fault";
            }
            if (!text.equals(expected.path("text").asText("fault"))) {
                wrong.add(template + " gives " + text + ", not " + expected);
            }
        }
        assertTrue(file.get("cases").size() > 200, "few cases were found");
        assertEquals(List.of(), wrong);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '"', textBlock = """
            {% include 'x' %}                        | the block 'include' is not supported
            {% nonsense %}                           | there is no block 'nonsense'
            {% for x in [1] recursive %}{% endfor %} | recursive loops are not supported
            {{ '{}'.format(1) }}                     | the method 'format' of a text is not supported
            {{ '%d' % 1 }}                           | the operator '%' on a text is not supported
            {{ [1]#random }}                         | the filter 'random' is not supported
            {{ 1 is odder }}                         | the test 'is odder' is not supported
            {{ lipsum() }}                           | the function 'lipsum' is not supported
            {{ {true: 1} }}                          | a boolean as the key of a dict is not supported
            {{ nothing.more }}                       | 'nothing' is undefined
            {{ messages[0].x.y }}                    | a dict has no 'x'
            {{ messages.append(1) }}                 | 'append' would change a list, which a template cannot
            {% if true %}                            | the block that starts here has no 'elif' or 'else' or 'endif'
            {{ (1 }}                                 | '}' closes nothing that is open
            """)
    @DisplayName("that uses what is not supported, or is wrong, is refused by name and line")
    void refused(String template, String reason) {
        FormatException fault = fault("\n" + template.replace('#', '|'));
        assertTrue(fault.getMessage().startsWith(FILE + ": its chat template cannot be "), fault::getMessage);
        assertTrue(fault.getMessage().contains("at line 2: " + reason), fault::getMessage);
    }

    @Test
    @DisplayName("ends, whatever character stands in it")
    void everyCharacter() {
        int faults = assertTimeoutPreemptively(Duration.ofSeconds(60), () -> {
            int count = 0;
            // all of the first plane, and some of the others
            for (int character = 0; character <= Character.MAX_CODE_POINT; character += character < 1 << 16 ? 1 : 97) {
                String text = Character.toString(character);
                for (String template : List.of("{{ " + text + " }}", "{% set a" + text + " = 1 %}")) {
                    try {
                        Template.parse(FILE, template);
                    } catch (FormatException fault) {
                        count++;
                    }
                }
            }
            return count;
        });
        assertTrue(faults > 10_000, "faults: " + faults);
    }

    @ParameterizedTest
    @MethodSource
    @DisplayName("that would cost much ends in a sentence that names the limit")
    void budgets(String limit, String template) {
        FormatException fault = assertTimeoutPreemptively(Duration.ofSeconds(60), () -> fault(template));
        assertTrue(fault.getMessage().contains(limit), fault::getMessage);
        assertTrue(fault.getMessage().startsWith(FILE.toString()), fault::getMessage);
        assertTrue(fault.getMessage().length() < 600, fault::getMessage);
    }

    static Stream<Arguments> budgets() {
        String steps = "takes more than 5,000,000 steps";
        String text = "makes a text of more than 4,194,304 characters";
        String list = "makes a list of more than 100,000 items";
        String nested = "more than 100 blocks or expressions stand inside each other";
        String deep = "evaluates more than 300 expressions inside each other";
        String grow = "{% set ns = namespace(s=@) %}{% for i in range(100) %}{% set ns.s = # %}{% endfor %}";
        return Stream.of(
                Arguments.of(steps, "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}"),
                Arguments.of(
                        steps,
                        "{% macro m(n) %}{% if n < 30 %}{{ m(n + 1) }}{{ m(n + 1) }}{% endif %}{% endmacro %}{{ m(0) }}"),
                Arguments.of(steps, "{% set s = 'a' * 4000000 %}{% for i in range(9999) %}{{ 'b' in s }}{% endfor %}"),
                Arguments.of(
                        steps,
                        "{% set ns = namespace(d={}) %}{% for i in range(9999) %}"
                                + "{% set ns.d = dict(ns.d, **{i|string: 1}) %}{% endfor %}"),
                Arguments.of(list, "{{ range(100001) }}"),
                Arguments.of(list, "{{ range(2 ** 70)|length }}"),
                Arguments.of(list, "{{ [1] * 2000000000 }}"),
                Arguments.of(list, "{{ ('a ' * 200000).split() }}"),
                Arguments.of(list, "{{ ('a' * 200000)|list }}"),
                Arguments.of(list, grow.replace("@", "[1]").replace("#", "ns.s + ns.s")),
                Arguments.of(text, grow.replace("@", "'x'").replace("#", "ns.s + ns.s")),
                Arguments.of(text, grow.replace("@", "'x'").replace("#", "ns.s ~ ns.s")),
                Arguments.of(steps, grow.replace("@", "'x'").replace("#", "ns.s.replace('x', 'xx')")),
                Arguments.of(text, "{{ 'x'|center(2000000000) }}"),
                Arguments.of(text, "{{ 'x'.rjust(2000000000) }}"),
                Arguments.of(text, "{{ 'a\nb'|indent(2e9|int) }}"),
                Arguments.of(text, "{{ [1]|tojson(indent=2000000000) }}"),
                Arguments.of(text, "{{ 'x' * 2000000000 }}"),
                Arguments.of(text, "{% for i in range(5) %}{{ 'x' * 1000000 }}{% endfor %}"),
                Arguments.of("an integer of more than 4096 bits", "{{ 2 ** (2 ** 30) }}"),
                Arguments.of("more than 1024 digits", "{{ " + "9".repeat(100_000) + " }}"),
                Arguments.of(nested, "{{ " + "(".repeat(20_000) + "1" + ")".repeat(20_000) + " }}"),
                Arguments.of(nested, "{{ " + "not ".repeat(20_000) + "1 }}"),
                Arguments.of(nested, "{{ " + "1 if 1 else ".repeat(20_000) + "1 }}"),
                Arguments.of(nested, "{% if 1 %}".repeat(5000) + "{% endif %}".repeat(5000)),
                Arguments.of(deep, "{{ " + "1 + ".repeat(20_000) + "1 }}"),
                Arguments.of(deep, "{{ x" + "|list".repeat(20_000) + " }}"),
                Arguments.of(deep, "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"),
                Arguments.of(
                        deep,
                        "{% set ns = namespace(s=[]) %}{% for i in range(999) %}{% set ns.s = [ns.s] %}{% endfor %}{{ ns.s }}"),
                Arguments.of("longer than 1,048,576 characters", " ".repeat(1_100_000)),
                Arguments.of("has no '#}'", "{#".repeat(100_000)),
                Arguments.of("the template's own words", "{{ raise_exception('the template\\'s own words' * 9999) }}"));
    }

    @Test
    @DisplayName("that repeats itself is searched in linear time")
    void searches() {
        String template = "{% set s = 'a' * 2000000 %}{% set b = 'a' * 1000000 ~ 'b' %}"
                + "{{ b in s }}{{ s.find(b) }}{{ s.count(b) }}{{ s.rsplit(b, 1)|length }}{{ s.replace(b, '')|length }}";
        assertEquals(
                "False-1012000000",
                assertTimeoutPreemptively(
                        Duration.ofSeconds(60),
                        () -> Template.parse(FILE, template).render(Map.of(), NOW)));
    }

    @Test
    @DisplayName("ends within the limits on a small stack")
    void smallStack() throws InterruptedException {
        List<String> faults = new ArrayList<>();
        Runnable all = () -> budgets().forEach(one -> {
            if (!one.get()[0].toString().contains("steps")) {
                faults.add(fault(one.get()[1].toString()).getMessage());
            }
        });
        Thread thread = new Thread(null, all, "small", 512 << 10);
        thread.start();
        thread.join();
        assertEquals(
                budgets()
                        .filter(one -> !one.get()[0].toString().contains("steps"))
                        .count(),
                faults.size());
    }

    @Test
    @DisplayName("that reaches for Java's classes finds none")
    void escape() throws IOException {
        FormatException fault = fault(resource("escape.jinja"));
        assertTrue(fault.getMessage().contains("expected 2 values to unpack and found 0"), fault::getMessage);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "messages.getClass().forName('java.lang.Runtime')",
                "messages.class.classLoader",
                "messages[0].class.protectionDomain",
                "''.__class__.__mro__",
                "''['getClass']()",
                "____int3rpr3t3r____.config",
                "namespace.__init__.__globals__",
                "raise_exception.body.call",
                "messages|map(attribute='class.name')|list",
                "(messages|first|attr('getClass'))()",
                "loop.rest.next"
            })
    @DisplayName("that asks a value for what Java has is refused")
    void reflection(String expression) {
        assertFalse(fault("{{ " + expression + " }}").getMessage().contains("java."));
    }

    private static FormatException fault(String template) {
        Map<String, Object> values = Map.of("messages", List.of(Map.of("role", "user", "content", "hi")));
        return assertThrows(
                FormatException.class, () -> Template.parse(FILE, template).render(values, NOW));
    }

    private static Map<String, Object> values(JsonNode node) {
        return JSON.convertValue(node, new TypeReference<Map<String, Object>>() {});
    }

    private static String resource(String name) throws IOException {
        try (InputStream in = Objects.requireNonNull(TemplateTest.class.getResourceAsStream("/chat/" + name), name)) {
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        }
    }
}
