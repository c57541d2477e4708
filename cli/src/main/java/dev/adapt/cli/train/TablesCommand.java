package dev.adapt.cli.train;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.cli.report.LorsTable;
import dev.adapt.cli.report.PaperTable;
import dev.adapt.cli.terminal.Terminal;
import dev.adapt.formats.binding.AdapterSize;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.method.MethodType;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.method.lowrank.CondLora;
import dev.adapt.formats.method.lowrank.Lora;
import dev.adapt.formats.method.seeded.Vera;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;

/** {@code adapt tables}: the papers' parameter counts, counted again. */
@Command(
        mixinStandardHelpOptions = true,
        description = {
            "Recomputes the papers' parameter counts and sizes of their methods, from the tensors that training"
                    + " would begin with, and marks what differs."
        })
public final class TablesCommand implements Callable<Integer> {
    /** A model by its layers; no weights are needed. */
    private record Shape(String label, List<Target> targets) {
        static Shape of(String label, String type, int hidden, int layers, int heads, String... targets) {
            ObjectNode config = new JsonMapper().createObjectNode();
            config.put("model_type", type);
            config.put("hidden_size", hidden);
            config.put("num_hidden_layers", layers);
            config.put("num_attention_heads", heads);
            config.put("intermediate_size", 4 * hidden);
            config.put("vocab_size", 50265);
            config.put("max_position_embeddings", 2050);
            config.put("type_vocab_size", 1);
            return new Shape(
                    label,
                    Binding.targets(new ModelConfig(new JsonDocument(Path.of(label), config)), List.of(targets)));
        }

        AdapterSize size(MethodType method, int rank) {
            return AdapterSize.planned(MethodOptions.ofRank(new TrainedMethod.Adapter(method), rank), targets);
        }
    }

    private static final Shape ROBERTA_BASE = Shape.of("RoBERTa base", "roberta", 768, 12, 12, "query", "value");
    private static final Shape ROBERTA_LARGE = Shape.of("RoBERTa large", "roberta", 1024, 24, 16, "query", "value");

    /** GPT-2's graph joins query, key and value in one weight; Llama's has them apart, as the papers count them. */
    private static final Shape GPT3 = Shape.of("GPT-3", "llama", 12288, 96, 96, "q_proj", "v_proj");

    private static final String TYPO =
            "the paper's own formula, L·(d + r), gives 48·(1024 + 16) = 49,920, and its bytes are"
                    + " those of that: its 49.5K is a slip";

    private static final String SHARED =
            "the paper's figures for GPT-3 are L·(d + r) + 2·r·d: they hold the shared, frozen A"
                    + " and B too, which its formula L·(d + r), its rows for RoBERTa and its file do not";

    private static final String MIXED = "4,608 MB of 1024² bytes, of which the paper takes 1000 as a GB";

    @Override
    public Integer call() {
        Terminal.lines(vera() + "\n");
        Terminal.lines(condLora() + "\n");
        Terminal.lines(LorsTable.table() + "\n");
        return 0;
    }

    /** Kopiczko et al., arXiv 2310.11454, table 1. */
    static PaperTable vera() {
        PaperTable table = new PaperTable(
                "VeRA, table 1: trained parameters and their bytes in float32 (KB = 1024 bytes), two of the attention's"
                        + " weights of each layer adapted",
                "model",
                "rank",
                "LoRA",
                "paper",
                "bytes",
                "paper",
                "VeRA",
                "paper",
                "bytes",
                "paper");
        row(table, ROBERTA_BASE, 1, "", "36.8K", "144KB", "18.4K", "72KB");
        row(table, ROBERTA_BASE, 16, "", "589.8K", "2MB", "18.8K", "74KB");
        row(table, ROBERTA_BASE, 256, "", "9437.1K", "36MB", "24.5K", "96KB");
        row(table, ROBERTA_LARGE, 1, "", "98.3K", "384KB", "49.2K", "192KB");
        row(table, ROBERTA_LARGE, 16, TYPO, "1572.8K", "6MB", "49.5K", "195KB");
        row(table, ROBERTA_LARGE, 256, "", "25165.8K", "96MB", "61.4K", "240KB");
        row(table, GPT3, 1, SHARED, "4.7M", "18MB", "2.4M", "9.1MB");
        row(table, GPT3, 16, SHARED, "75.5M", "288MB", "2.8M", "10.5MB");
        row(table, GPT3, 256, SHARED, "1207.9M", "4.6GB", "8.7M", "33MB");
        return table;
    }

    private static void row(PaperTable table, Shape model, int rank, String why, String... paper) {
        List<PaperTable.Cell> cells = new ArrayList<>();
        for (MethodType method : List.of(Lora.TYPE, Vera.TYPE)) {
            AdapterSize size = model.size(method, rank);
            String own = method.equals(Lora.TYPE) ? MIXED : why;
            int at = cells.size();
            cells.add(new PaperTable.Cell(size.trained(), paper[at], own));
            cells.add(new PaperTable.Cell(size.bytes(), paper[at + 1], own));
        }
        table.row(List.of(model.label(), String.valueOf(rank)), cells);
    }

    /** Kim, Sakai and Kokubo, LREC-COLING 2024, table 4. */
    static PaperTable condLora() {
        PaperTable table = new PaperTable(
                "CondLoRA, table 4: trained parameters on RoBERTa base, query and value, rank 8",
                "method",
                "counted",
                "paper");
        table.row(List.of("LoRA"), List.of(condLora(Lora.TYPE, "294,912")));
        table.row(List.of("CondLoRA"), List.of(condLora(CondLora.TYPE, "24,576")));
        return table;
    }

    private static PaperTable.Cell condLora(MethodType method, String paper) {
        return new PaperTable.Cell(ROBERTA_BASE.size(method, 8).trained(), paper, "");
    }
}
