package dev.adapt.tests;

import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAPackage;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAnyPackage;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.fields;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.tngtech.archunit.base.DescribedPredicate;
import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.lang.ArchCondition;
import com.tngtech.archunit.lang.ArchRule;
import com.tngtech.archunit.lang.ConditionEvents;
import com.tngtech.archunit.lang.SimpleConditionEvent;
import com.tngtech.archunit.library.dependencies.SliceAssignment;
import com.tngtech.archunit.library.dependencies.SliceIdentifier;
import com.tngtech.archunit.library.dependencies.SlicesRuleDefinition;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.lang.classfile.ClassFile;
import java.lang.classfile.constantpool.PoolEntry;
import java.lang.classfile.constantpool.StringEntry;
import java.lang.module.ModuleDescriptor;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Which module knows which, which library each may use, and what no class of ours does. */
class ModuleArrowsTest {
    private static final JavaClasses OURS = new ClassFileImporter()
            .withImportOption(ImportOption.Predefined.DO_NOT_INCLUDE_TESTS)
            .importPackages("dev.adapt");

    @ParameterizedTest
    @ValueSource(strings = {"formats", "merge", "train", "verify", "cli"})
    void everyModuleIsLookedAt(String module) {
        assumeTrue(Files.isDirectory(Path.of("..", module, "src", "main", "java")), module + " is still empty");
        assertTrue(OURS.stream().anyMatch(resideInAPackage(in(module))), () -> "no class of " + module + " was found");
    }

    @ParameterizedTest
    @CsvSource({
        "formats, merge",
        "formats, train",
        "formats, verify",
        "formats, cli",
        "merge, train",
        "merge, verify",
        "merge, cli",
        "train, merge",
        "train, verify",
        "train, cli",
        "verify, merge",
        "verify, train",
        "verify, cli"
    })
    void doesNotKnow(String module, String other) {
        doesNotKnowRule(module, other).check(OURS);
    }

    @ParameterizedTest
    @CsvSource({
        "jdk.incubator.vector.., merge",
        "io.airlift.., merge",
        "org.ejml.., merge",
        "ai.djl.., train",
        "ai.onnxruntime.., verify",
        "com.code_intelligence.., tests",
        "picocli.., cli",
        "com.google.protobuf.., formats",
        "com.google.flatbuffers.., formats"
    })
    void libraryIsUsedOnlyIn(String library, String module) {
        usedOnlyInRule(library, module).check(OURS);
    }

    /** Merging needs names and shapes, never a graph. Those that merge LORS run whole models. */
    @Test
    void mergingKnowsNoArchitecture() {
        knowsNoArchitectureRule("dev.adapt.merge..", "LorsMerge", "Decomposition")
                .check(OURS);
    }

    /** Only the command line knows its options; these are another program's. */
    @ParameterizedTest
    @ValueSource(strings = {"formats", "merge", "train", "verify"})
    void holdsNoOption(String module) {
        holdsNoOptionRule(in(module), "--length", "--reflink=always").check(OURS);
    }

    /** The command line is compiled on the class path, where nothing else holds it to what a module exports. */
    @ParameterizedTest
    @ValueSource(strings = {"formats", "merge", "train", "verify"})
    void commandLineKeepsToWhatIsExported(String module) {
        dependsOnExportsRule("cli", descriptor(module)).check(OURS);
    }

    @Test
    void packagesFormNoCycle() {
        packagesFormNoCycleRule().check(OURS);
    }

    @ParameterizedTest
    @ValueSource(strings = {"Util", "Utils", "Helper", "Helpers", "Manager"})
    void noClassIsNamed(String ending) {
        noNameEndsWithRule(ending).check(OURS);
    }

    @Test
    void noClassIsNamedAbstract() {
        noClasses().should().haveSimpleNameStartingWith("Abstract").check(OURS);
    }

    @Test
    void noStaticStateCanChange() {
        staticFieldsAreFinalRule().check(OURS);
    }

    @Test
    void onlyMainExits() {
        onlyMainExitsRule().check(OURS);
    }

    /** Every kind of rule is seen to fail, on real dependencies or on the planted class. */
    @Test
    void rulesCanFail() {
        JavaClasses planted = new ClassFileImporter().importClasses(PlantedUtils.class);
        fails(doesNotKnowRule("cli", "formats"), OURS);
        fails(usedOnlyInRule("picocli..", "merge"), OURS);
        fails(noNameEndsWithRule("Utils"), planted);
        fails(staticFieldsAreFinalRule(), planted);
        fails(onlyMainExitsRule(), planted);
        fails(holdsNoOptionRule("..", "--planted"), planted);
        fails(holdsNoOptionRule("dev.adapt.cli.."), OURS);
        fails(knowsNoArchitectureRule("dev.adapt.train.."), OURS);
        fails(
                dependsOnExportsRule("tests", descriptor("formats")),
                new ClassFileImporter().importPackages("dev.adapt"));
        assertDoesNotThrow(() -> noNameEndsWithRule("Helper").check(planted));
    }

    private static void fails(ArchRule rule, JavaClasses classes) {
        assertThrows(AssertionError.class, () -> rule.check(classes), rule::getDescription);
    }

    private static ArchRule doesNotKnowRule(String module, String other) {
        return noClasses()
                .that()
                .resideInAPackage(in(module))
                .should()
                .dependOnClassesThat()
                .resideInAPackage(in(other))
                .allowEmptyShould(true); // while a module is empty; everyModuleIsLookedAt sees to the rest
    }

    private static ArchRule usedOnlyInRule(String library, String module) {
        return noClasses()
                .that()
                .resideOutsideOfPackage(in(module))
                .should()
                .dependOnClassesThat(resideInAnyPackage(library));
    }

    private static ArchRule noNameEndsWithRule(String ending) {
        return noClasses().should().haveSimpleNameEndingWith(ending);
    }

    private static ArchRule staticFieldsAreFinalRule() {
        return fields().that()
                .areStatic()
                .and()
                .areDeclaredInClassesThat()
                .areNotAnnotatedWith("com.google.protobuf.Generated")
                .should()
                .beFinal();
    }

    private static ArchRule onlyMainExitsRule() {
        return noClasses()
                .that()
                .doNotHaveFullyQualifiedName("dev.adapt.cli.Adapt")
                .should()
                .callMethod(System.class, "exit", int.class)
                .orShould()
                .callMethod(Runtime.class, "exit", int.class)
                .orShould()
                .callMethod(Runtime.class, "halt", int.class);
    }

    private static ArchRule knowsNoArchitectureRule(String packages, String... exceptions) {
        Set<String> excepted = Set.of(exceptions);
        Set<String> names = Set.of("Architecture", "ModelConfig", "Model", "WholeModel");
        DescribedPredicate<JavaClass> graph = DescribedPredicate.describe(
                "are an architecture or run one",
                type -> type.getPackageName().startsWith("dev.adapt.formats")
                        && (names.contains(type.getSimpleName())
                                || type.getAllRawInterfaces().stream()
                                        .anyMatch(each -> each.getSimpleName().equals("Architecture"))));
        DescribedPredicate<JavaClass> others = DescribedPredicate.describe(
                "are not " + excepted,
                type -> excepted.stream().noneMatch(name -> (type.getName() + "$").contains("." + name + "$")));
        return noClasses()
                .that()
                .resideInAPackage(packages)
                .and(others)
                .should()
                .dependOnClassesThat(graph);
    }

    private static ArchRule holdsNoOptionRule(String packages, String... exceptions) {
        return classes()
                .that()
                .resideInAPackage(packages)
                .should(new ArchCondition<>("hold no string that begins with --") {
                    @Override
                    public void check(JavaClass type, ConditionEvents events) {
                        strings(type)
                                .filter(text -> text.startsWith("--"))
                                .filter(text -> !List.of(exceptions).contains(text))
                                .forEach(text -> events.add(SimpleConditionEvent.violated(
                                        type, type.getName() + " holds \"" + text + "\"")));
                    }
                });
    }

    /** The string constants of a class. */
    private static Stream<String> strings(JavaClass type) {
        try (InputStream in = type.getSource().orElseThrow().getUri().toURL().openStream()) {
            List<String> strings = new ArrayList<>();
            for (PoolEntry entry : ClassFile.of().parse(in.readAllBytes()).constantPool()) {
                if (entry instanceof StringEntry text) {
                    strings.add(text.stringValue());
                }
            }
            return strings.stream();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** What {@code module-info} of a module says. */
    private static ModuleDescriptor descriptor(String module) {
        try (InputStream in = Files.newInputStream(Path.of("..", module, "target", "classes", "module-info.class"))) {
            return ModuleDescriptor.read(in);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static ArchRule dependsOnExportsRule(String module, ModuleDescriptor other) {
        Set<String> exported = other.exports().stream()
                .filter(each -> !each.isQualified() || each.targets().contains("dev.adapt." + module))
                .map(ModuleDescriptor.Exports::source)
                .collect(Collectors.toSet());
        DescribedPredicate<JavaClass> hidden = DescribedPredicate.describe(
                "are not exported by " + other.name() + " to " + module,
                type -> (type.getPackageName() + ".").startsWith(other.name() + ".")
                        && !exported.contains(type.getPackageName()));
        return noClasses().that().resideInAPackage(in(module)).should().dependOnClassesThat(hidden);
    }

    private static ArchRule packagesFormNoCycleRule() {
        return SlicesRuleDefinition.slices()
                .assignedFrom(new SliceAssignment() {
                    @Override
                    public SliceIdentifier getIdentifierOf(JavaClass type) {
                        return SliceIdentifier.of(type.getPackageName());
                    }

                    @Override
                    public String getDescription() {
                        return "packages";
                    }
                })
                .should()
                .beFreeOfCycles();
    }

    private static String in(String module) {
        return "dev.adapt." + module + "..";
    }

    /** What the rules are against. */
    @SuppressWarnings("unused")
    private static final class PlantedUtils {
        private static int state;

        static String option() {
            return "--option";
        }

        static void exit() {
            System.exit(1);
        }
    }
}
