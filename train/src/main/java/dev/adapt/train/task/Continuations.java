package dev.adapt.train.task;

import com.fasterxml.jackson.databind.JsonNode;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.PromptFormat;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.train.data.Batch;
import dev.adapt.train.data.Dataset;
import dev.adapt.train.data.Example;
import dev.adapt.train.data.Examples;
import dev.adapt.train.data.Lines;
import dev.adapt.train.data.Sequence;
import dev.adapt.train.data.Source;
import dev.adapt.train.data.Text;
import dev.adapt.train.data.TokenIds;
import dev.adapt.train.data.Truncation;
import dev.adapt.train.tokenizer.ChatTemplate;
import dev.adapt.train.tokenizer.PromptText;
import dev.adapt.train.tokenizer.Tokenizer;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.LongStream;

/**
 * Token sequences of which some tokens are to be learned, each from those before it. A file holds one of these:
 *
 * <ul>
 *   <li>texts, in a {@code .txt} file (one document) or as {@code text} on lines of JSON (a document each): joined, the
 *       end-of-text token after each, and cut into blocks of the greatest length; all tokens are learned;
 *   <li>{@code prompt} and {@code response} on lines of JSON, or in columns of a table: the response and the end-of-text
 *       token are learned. Where the base has a chat template, the two are the user's and the assistant's message;
 *       otherwise a line feed joins them;
 *   <li>{@code messages} on lines of JSON, a list of {@code role} and {@code content}: rendered by the base's chat
 *       template, what assistants say is learned;
 *   <li>{@code input_ids} on lines of JSON, learned whole or where {@code labels} are not -100.
 * </ul>
 *
 * @param prompt how prompts are laid out; empty for token ids, of which only their maker knows
 * @param truncation of the sequences but for blocks of texts, which lose nothing
 */
record Continuations(
        List<Sequence> sequences,
        List<boolean[]> learned,
        Sequence.Padding padding,
        Optional<PromptFormat> prompt,
        Truncation truncation)
        implements Examples {
    private static final long IGNORED = -100;

    Continuations {
        sequences = List.copyOf(sequences);
        learned = List.copyOf(learned);
    }

    /**
     * Reads a file.
     *
     * @throws FormatException naming the line of what cannot be learned
     */
    static Continuations read(Path file, Dataset.Columns columns, Source source) throws IOException {
        Reader reader = new Reader(file, columns, source);
        if (Lines.named(file, ".txt")) {
            reader.documents(List.of(Lines.document(file)));
        } else if (Lines.named(file, ".jsonl", ".json")) {
            reader.json(Lines.json(file));
        } else {
            reader.responses();
        }
        if (reader.sequences.isEmpty()) {
            throw new FormatException(file, "holds no text of two tokens or more");
        }
        return new Continuations(
                reader.sequences,
                reader.learned,
                new Sequence.Padding(source.padding(), false),
                reader.prompt,
                new Truncation(reader.sequences.size(), reader.cut, reader.cutResponses, source.longest()));
    }

    @Override
    public int size() {
        return sequences.size();
    }

    @Override
    public int length(int index) {
        return sequences.get(index).length();
    }

    /** Goals [tokens, 2]: where in the flattened batch the token before stands, and the token. */
    @Override
    public Batch batch(List<Integer> indices) {
        List<Sequence> own = indices.stream().map(sequences::get).toList();
        int width = Sequence.Padding.width(own);
        LongStream.Builder goals = LongStream.builder();
        for (int row = 0; row < own.size(); row++) {
            boolean[] wanted = learned.get(indices.get(row));
            for (int i = 1; i < wanted.length; i++) {
                if (wanted[i]) {
                    goals.add((long) row * width + i - 1).add(own.get(row).ids()[i]);
                }
            }
        }
        long[] values = goals.build().toArray();
        return new Batch(padding.inputs(own), new LongTensor(Shape.of(values.length / 2, 2), values));
    }

    /** Collects the sequences of one file. */
    private static final class Reader {
        private final Path file;
        private final Dataset.Columns columns;
        private final Source source;
        private final List<Sequence> sequences = new ArrayList<>();
        private final List<boolean[]> learned = new ArrayList<>();
        private Optional<PromptFormat> prompt = Optional.empty();
        private int cut;
        private int cutResponses;

        Reader(Path file, Dataset.Columns columns, Source source) {
            this.file = file;
            this.columns = columns;
            this.source = source;
        }

        void json(List<JsonNode> lines) throws IOException {
            JsonNode first = lines.getFirst();
            boolean prompts = first.has(promptName());
            if (first.has(TokenIds.FIELD)) {
                for (int i = 0; i < lines.size(); i++) {
                    ids(lines.get(i), i + 1);
                }
            } else if (first.has("messages")) {
                messages(lines);
            } else if (first.has("text") && !prompts) {
                List<String> texts = new ArrayList<>();
                for (int i = 0; i < lines.size(); i++) {
                    if (!lines.get(i).path("text").isTextual()) {
                        throw Lines.fault(file, i + 1, "has no field \"text\" with a text, as the first line has");
                    }
                    texts.add(lines.get(i).path("text").textValue());
                }
                documents(texts);
            } else if (prompts) {
                responses();
            } else {
                throw Lines.fault(
                        file,
                        1,
                        "has none of the fields prompt (with response), messages, text and input_ids; name the prompt's"
                                + " and the response's with --text-column and --label-column");
            }
        }

        private String promptName() {
            return columns.text().isEmpty() ? "prompt" : columns.text().getFirst();
        }

        private void ids(JsonNode node, int line) {
            long[] ids = source.known(TokenIds.read(file, line, node, TokenIds.FIELD), file, line);
            boolean[] wanted = new boolean[ids.length];
            Arrays.fill(wanted, true);
            if (node.has("labels")) {
                long[] labels = TokenIds.read(file, line, node, "labels");
                if (labels.length != ids.length) {
                    throw Lines.fault(file, line, "has " + labels.length + " labels for " + ids.length + " token ids");
                }
                for (int i = 0; i < ids.length; i++) {
                    wanted[i] = labels[i] != IGNORED;
                }
            }
            add(ids, wanted, line);
        }

        /** Packs documents into blocks. */
        void documents(List<String> texts) throws IOException {
            prompt = Optional.of(PromptFormat.TEXT);
            long end = endOfText();
            LongStream.Builder all = LongStream.builder();
            try (Tokenizer tokenizer = tokenizer()) {
                for (String text : texts) {
                    Arrays.stream(tokenizer.ids(text, true)).forEach(all::add);
                    all.add(end);
                }
            }
            long[] ids = all.build().toArray();
            for (int from = 0; from + 1 < ids.length; from += source.longest()) {
                long[] block = Arrays.copyOfRange(ids, from, Math.min(ids.length, from + source.longest()));
                boolean[] wanted = new boolean[block.length];
                Arrays.fill(wanted, true);
                sequences.add(new Sequence(block));
                learned.add(wanted);
            }
        }

        void responses() throws IOException {
            Dataset data = Dataset.read(
                    file,
                    new Dataset.Columns(
                            List.of(promptName()), Optional.of(columns.label().orElse("response")), columns.header()));
            Optional<ChatTemplate> template = ChatTemplate.of(source.base());
            prompt = Optional.of(template.isPresent() ? PromptFormat.CHAT : PromptFormat.LINE_FEED);
            try (Tokenizer tokenizer = tokenizer()) {
                for (Example example : data.examples()) {
                    if (!(example.text() instanceof Text.Single(String text))) {
                        throw Lines.fault(file, example.line(), "holds no text for a prompt");
                    }
                    if (template.isPresent()) {
                        List<ChatTemplate.Message> both = List.of(
                                ChatTemplate.Message.of("user", text),
                                ChatTemplate.Message.of(ChatTemplate.ASSISTANT, example.label()));
                        dialogue(template.get(), both, tokenizer, example.line());
                    } else {
                        response(PromptText.withLineFeed(text), example, tokenizer);
                    }
                }
            }
        }

        private void response(String begin, Example example, Tokenizer tokenizer) {
            long[] before = tokenizer.ids(begin, true);
            long[] after = tokenizer.ids(example.label(), false);
            long[] ids = LongStream.concat(
                            LongStream.concat(Arrays.stream(before), Arrays.stream(after)), LongStream.of(endOfText()))
                    .toArray();
            boolean[] wanted = new boolean[ids.length];
            Arrays.fill(wanted, before.length, ids.length, true);
            add(ids, wanted, example.line());
        }

        private void messages(List<JsonNode> lines) throws IOException {
            ChatTemplate template = ChatTemplate.of(source.base())
                    .orElseThrow(() -> new FormatException(
                            source.base(),
                            "has no chat template (tokenizer_config.json), which messages need; give"
                                    + " prompt and response instead"));
            prompt = Optional.of(PromptFormat.CHAT);
            try (Tokenizer tokenizer = tokenizer()) {
                for (int i = 0; i < lines.size(); i++) {
                    List<ChatTemplate.Message> messages = ChatTemplate.Message.read(file, i + 1, lines.get(i));
                    dialogue(template, messages, tokenizer, i + 1);
                }
            }
        }

        private void dialogue(
                ChatTemplate template, List<ChatTemplate.Message> messages, Tokenizer tokenizer, int line) {
            ChatTemplate.Rendered rendered = template.dialogue(messages, file, line);
            List<Tokenizer.Token> tokens = tokenizer.tokens(rendered.text());
            boolean[] wanted = new boolean[tokens.size()];
            for (int i = 0; i < wanted.length; i++) {
                wanted[i] = rendered.learned(tokens.get(i).start());
            }
            add(tokens.stream().mapToLong(Tokenizer.Token::id).toArray(), wanted, line);
        }

        private void add(long[] ids, boolean[] wanted, int line) {
            int length = Math.min(ids.length, source.longest());
            boolean any = false;
            for (int i = 1; i < length; i++) {
                any |= wanted[i];
            }
            if (!any) {
                throw Lines.fault(
                        file,
                        line,
                        "leaves no token to learn among its first " + length + " of " + ids.length
                                + ": shorten the prompt, or raise --max-length");
            }
            if (length < ids.length) {
                cut++;
                cutResponses += lastLearned(wanted) >= length ? 1 : 0;
            }
            sequences.add(new Sequence(ids).first(length));
            learned.add(Arrays.copyOf(wanted, length));
        }

        private static int lastLearned(boolean[] wanted) {
            int last = wanted.length - 1;
            while (last >= 0 && !wanted[last]) {
                last--;
            }
            return last;
        }

        private Tokenizer tokenizer() throws IOException {
            return Tokenizer.open(source.base(), source.vocabulary());
        }

        /** The token that ends a text. */
        private long endOfText() {
            JsonNode own = source.config().document().json().path("eos_token_id");
            JsonNode id = own.isArray() ? own.path(0) : own;
            if (!id.isIntegralNumber() || id.longValue() < 0 || id.longValue() >= source.vocabulary()) {
                throw source.config().document().wrong("eos_token_id", "the id of the token that ends a text");
            }
            return id.longValue();
        }
    }
}
