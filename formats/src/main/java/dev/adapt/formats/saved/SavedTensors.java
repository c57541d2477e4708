package dev.adapt.formats.saved;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.adapter.PromptFormat;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.checkpoint.Companions;
import dev.adapt.formats.names.Spelling;
import dev.adapt.formats.names.TensorNames;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;

/**
 * The tensors that an adapter holds whole, in their places in a base, and what they change in its config.
 *
 * @param tensors by canonical name; those that are the base's own are left out
 * @param names what the adapter calls them, by canonical name
 * @param following adapted modules that need no tensor of their own: a head that stays the embedding table
 */
public record SavedTensors(
        Map<String, Tensor> tensors, Map<String, String> names, BaseChange change, Set<String> following) {
    private static final String WEIGHT = ".weight";

    /**
     * Places an adapter's tensors.
     *
     * @throws FormatException if one has no place there, or another shape than its place, or a biases' or module's are
     *     missing
     */
    public static SavedTensors of(Adapter adapter, Checkpoint base, TensorNames names, Spelling spelling) {
        Placing placing = new Placing(adapter, base, names, spelling);
        placing.requireWhole();
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        Map<String, String> spelled = new LinkedHashMap<>();
        adapter.saved().forEach((name, tensor) -> {
            String own = names.kept(spelling.apply(name));
            placing.check(name, own, tensor);
            if (!placing.isOfBase(own, tensor)) {
                Tensor other = tensors.put(own, tensor);
                if (other != null && !haveSameElements(other, tensor)) {
                    throw new FormatException(
                            adapter.file(), name, "differs from " + spelled.get(own) + ", which is the same tensor");
                }
                spelled.put(own, name);
            }
        });
        Ties ties = new Ties(adapter, base, names, spelling);
        ties.complete(tensors);
        OptionalInt vocabulary = new Vocabulary(adapter, base, names).of(tensors);
        boolean unties = ties.unties(tensors);
        Set<String> following = unties ? ties.part(tensors) : ties.follow(tensors);
        TaskChange task = TaskChange.of(adapter, names, base.config(), tensors);
        Optional<Path> tokenizer = Optional.ofNullable(adapter.file().getParent())
                .filter(home -> vocabulary.isPresent()
                        && !new Companions(home).tokenizer().isEmpty());
        Optional<Path> sentences =
                Optional.ofNullable(adapter.file().getParent()).filter(home -> new Companions(home).isOfSentences());
        BaseChange change = new BaseChange(
                task.head(), task.task(), vocabulary, unties, tokenizer, PromptFormat.of(adapter), sentences);
        return new SavedTensors(tensors, spelled, change, following);
    }

    /** The shape of one of the tensors. */
    public Optional<Shape> shape(String canonicalName) {
        return Optional.ofNullable(tensors.get(canonicalName)).map(Tensor::shape);
    }

    /** One adapter on one base. */
    private record Placing(Adapter adapter, Checkpoint base, TensorNames names, Spelling spelling) {
        private Optional<TensorView> find(String canonical) {
            return names.find(canonical).map(base.tensors()::get);
        }

        /** What the config says is saved, and the base has, must be there. */
        void requireWhole() {
            boolean biases = adapter.saved().keySet().stream().anyMatch(name -> name.endsWith(".bias"));
            Optional<String> bias = names.tensors().stream()
                    .filter(name -> name.endsWith(".bias"))
                    .findFirst();
            if (adapter.config().mustHoldBiases() && !biases && bias.isPresent()) {
                throw new FormatException(
                        adapter.file(), bias.get(), "is missing: the config says bias \"all\", and the base has it");
            }
            for (String module : adapter.config().modulesToSave()) {
                boolean held = adapter.saved().keySet().stream().anyMatch(name -> Adapter.isOf(List.of(module), name));
                Optional<String> lacking = names.tensors().stream()
                        .filter(name -> Adapter.isOf(List.of(module), name))
                        .findFirst();
                if (!held && lacking.isPresent()) {
                    throw new FormatException(
                            adapter.file(),
                            lacking.get(),
                            "is missing: the config names " + module + " in modules_to_save, and the base has it");
                }
            }
        }

        void check(String name, String own, Tensor tensor) {
            Optional<TensorView> place = find(own);
            boolean named = Adapter.isOf(adapter.config().modulesToSave(), name);
            boolean head = names.head()
                    .map(module -> module + WEIGHT)
                    .filter(own::equals)
                    .isPresent();
            if (place.isEmpty() && !named && !head) {
                throw new FormatException(
                        adapter.file(),
                        name,
                        "is neither a tensor of " + adapter.config().peftType() + " nor of a module in modules_to_save "
                                + adapter.config().modulesToSave() + " nor of the base " + base.path());
            }
            Optional<TensorView> model =
                    place.or(() -> head ? names.table().flatMap(table -> find(table + WEIGHT)) : Optional.empty());
            if (model.isPresent() && !fits(own, model.get().shape(), tensor.shape())) {
                throw new FormatException(
                        adapter.file(),
                        name,
                        "has shape " + tensor.shape() + ", in the base it has "
                                + model.get().shape());
            }
        }

        /** The same shape; an embedding table, and a head, may have another number of rows. */
        private boolean fits(String own, Shape place, Shape shape) {
            boolean rows = Vocabulary.isOfWords(names, own) || names.isOfTaskHead(own);
            return place.equals(shape)
                    || (rows
                            && place.rank() == shape.rank()
                            && place.dims()
                                    .subList(1, place.rank())
                                    .equals(shape.dims().subList(1, shape.rank())));
        }

        /** PEFT saves the embedding table beside its update, whether it was trained or not. */
        boolean isOfBase(String own, Tensor tensor) {
            return find(own).filter(place -> haveSameElements(place, tensor)).isPresent();
        }
    }

    /** Whether two tensors are equal, looked at piece by piece: embedding tables are large. */
    static boolean haveSameElements(Tensor left, Tensor right) {
        int most = 1 << 14;
        boolean same = left.shape().equals(right.shape());
        long elements = left.shape().elements();
        double[] some = new double[(int) Math.min(most, elements)];
        double[] others = new double[some.length];
        for (long from = 0; same && from < elements; from += most) {
            int count = (int) Math.min(most, elements - from);
            left.read(from, some, 0, count);
            right.read(from, others, 0, count);
            same = Arrays.equals(some, 0, count, others, 0, count);
        }
        return same;
    }
}
