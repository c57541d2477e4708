package dev.adapt.formats.model;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.Head;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.io.InputFile;
import dev.adapt.formats.io.OutputFile;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** A model of which every weight is trained and written: a plain one, or one whose layers share weights. */
public interface WholeModel {
    /** What transformers keeps beside a model that says how to read its inputs, or to generate. */
    List<String> READERS = List.of(
            "added_tokens.json",
            "chat_template.jinja",
            "generation_config.json",
            "merges.txt",
            "preprocessor_config.json",
            "sentencepiece.bpe.model",
            "special_tokens_map.json",
            "tokenizer.json",
            "tokenizer.model",
            "tokenizer_config.json",
            "vocab.json",
            "vocab.txt");

    /** Its config. */
    ModelConfig config();

    /** Its method's name in reports. */
    String method();

    /** Writes its method's settings, for reports; none for a plain model. */
    void describe(ObjectNode settings);

    /** The names of the modules that share weights; none in a plain model. */
    List<String> targets();

    /** The tensors that no layers share, by canonical name. */
    Map<String, Tensor> others();

    /** The model, ready to run and to train. */
    Model model();

    /** The same model with another config and other tensors that no layers share. */
    WholeModel with(ModelConfig config, Map<String, Tensor> others);

    /**
     * The same model as training left it.
     *
     * @param leaves its trained tensors, by the names of the {@link #model}'s leaves
     */
    WholeModel trained(Map<String, FloatTensor> leaves);

    /** The number of its parameters. */
    long parameters();

    /**
     * Writes the file with its weights, in float32, into an existing folder, and the config of that file if it has one.
     *
     * @return the file
     */
    Path writeWeights(Path folder) throws IOException;

    /** The tensors of its classification head by canonical name; none where it has no head. */
    default Map<String, Tensor> headTensors() {
        Architecture architecture = Architecture.of(config());
        Map<String, Tensor> tensors = new LinkedHashMap<>(others());
        tensors.keySet()
                .retainAll(architecture
                        .head()
                        .map(head -> architecture.headTensors(head).keySet())
                        .orElse(Set.of()));
        return tensors;
    }

    /**
     * The model with another classification head, and without the tensors that it then no longer reads.
     *
     * @param tensors of the head, by canonical name
     */
    default WholeModel withHead(Head head, Map<String, ? extends Tensor> tensors) {
        Map<String, Tensor> changed = new LinkedHashMap<>(others());
        headTensors().keySet().forEach(changed::remove);
        changed.putAll(tensors);
        return with(config().withHead(head), changed).withoutUnread();
    }

    /** The model without tensors that its graph does not read, which cannot be trained. */
    default WholeModel withoutUnread() {
        Map<String, Tensor> read = new LinkedHashMap<>(others());
        read.keySet().retainAll(Architecture.of(config()).requiredTensors().keySet());
        return with(config(), read);
    }

    /** The names of all files that {@link #write(Path, Path)} may write, whatever the model. */
    static Set<String> files() {
        Set<String> files = new HashSet<>(READERS);
        files.addAll(List.of(ModelConfig.FILE, Checkpoint.SINGLE, Adapter.FILE, AdapterConfig.FILE));
        return files;
    }

    /**
     * Writes the model into an existing folder, in float32: config.json and the files with its weights, each whole or not at
     * all, with the tokenizer and what else reads the model's inputs.
     *
     * @param readers the folder that holds those
     * @return the file with the weights
     */
    default Path write(Path folder, Path readers) throws IOException {
        for (String name : READERS) {
            if (Files.exists(readers.resolve(name))) {
                InputFile.found(readers.resolve(name)).copyTo(folder.resolve(name));
            }
        }
        return write(folder);
    }

    /** The same without what reads the model's inputs. */
    default Path write(Path folder) throws IOException {
        try (OutputFile pending = Outputs.replacing().file(folder.resolve(ModelConfig.FILE))) {
            pending.text(config().inFloat32().document().text());
            pending.commit();
        }
        return writeWeights(folder);
    }

    /** The elements of tensors. */
    static long elements(Map<String, Tensor> tensors) {
        return tensors.values().stream()
                .mapToLong(tensor -> tensor.shape().elements())
                .sum();
    }
}
