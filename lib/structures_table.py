"""Codes and colours of the structures carina knows, as plain rows.

Facts (SNOMED CT codes, meanings, display colours) come from `totalsegmentator_snomed_mapping.csv` of TotalSegmentator
2.18.0 (Apache-2.0, https://github.com/wasserth/TotalSegmentator), with two corrections against PS3.16: the subclavian
arteries carry 36765005 with a laterality (29700009 is the right one alone), and "minimus" is spelt out. The rows of
`CHEST` are carina's own, with codes from PS3.16 Annex D.

A row is `(name, type code, type meaning, side, sRGB colour)`; the side is "L", "R" or "". A row of `ALTERED` names the
coding scheme after the code, because the standard codes ground glass as its own (PS3.16 CID 6102), and continues
with the anatomic region `(code, meaning, side)`.
"""

from __future__ import annotations

Row = tuple[str, str, str, str, tuple[int, int, int]]
AlteredRow = tuple[str, str, str, str, str, tuple[int, int, int], tuple[str, str, str]]

# Anatomical structures of TotalSegmentator v1, in the channel order of MONAI's wholeBody_ct_segmentation bundle.
TOTALSEGMENTATOR_V1_ROWS: tuple[Row, ...] = (
    ("spleen", "78961009", "Spleen", "", (50, 170, 60)),
    ("kidney_right", "64033007", "Kidney", "R", (34, 102, 136)),
    ("kidney_left", "64033007", "Kidney", "L", (46, 138, 184)),
    ("gallbladder", "28231008", "Gallbladder", "", (54, 216, 119)),
    ("liver", "10200004", "Liver", "", (40, 140, 40)),
    ("stomach", "69695003", "Stomach", "", (180, 70, 160)),
    ("aorta", "15825003", "Aorta", "", (216, 108, 54)),
    ("inferior_vena_cava", "64131007", "Inferior vena cava", "", (0, 70, 200)),
    ("portal_vein_and_splenic_vein", "110765007", "Portal vein and splenic vein", "", (0, 90, 220)),
    ("pancreas", "15776009", "Pancreas", "", (60, 150, 80)),
    ("adrenal_gland_right", "23451007", "Adrenal gland", "R", (178, 128, 26)),
    ("adrenal_gland_left", "23451007", "Adrenal gland", "L", (241, 172, 34)),
    ("lung_upper_lobe_left", "45653009", "Upper lobe of lung", "L", (71, 232, 244)),
    ("lung_lower_lobe_left", "90572001", "Lower lobe of lung", "L", (34, 195, 207)),
    ("lung_upper_lobe_right", "45653009", "Upper lobe of lung", "R", (100, 218, 227)),
    ("lung_middle_lobe_right", "72481006", "Middle lobe of right lung", "", (63, 181, 190)),
    ("lung_lower_lobe_right", "90572001", "Lower lobe of lung", "R", (26, 144, 153)),
    ("vertebrae_L5", "49668003", "L5 vertebra", "", (137, 112, 77)),
    ("vertebrae_L4", "11994002", "L4 vertebra", "", (100, 75, 40)),
    ("vertebrae_L3", "36470004", "L3 vertebra", "", (63, 38, 3)),
    ("vertebrae_L2", "14293000", "L2 vertebra", "", (26, 1, 222)),
    ("vertebrae_L1", "66794005", "L1 vertebra", "", (245, 220, 185)),
    ("vertebrae_T12", "23215003", "T12 vertebra", "", (69, 44, 9)),
    ("vertebrae_T11", "12989004", "T11 vertebra", "", (32, 7, 228)),
    ("vertebrae_T10", "7610001", "T10 vertebra", "", (251, 226, 191)),
    ("vertebrae_T9", "82687006", "T9 vertebra", "", (214, 189, 154)),
    ("vertebrae_T8", "11068009", "T8 vertebra", "", (177, 152, 117)),
    ("vertebrae_T7", "62487009", "T7 vertebra", "", (140, 115, 80)),
    ("vertebrae_T6", "45296009", "T6 vertebra", "", (103, 78, 43)),
    ("vertebrae_T5", "56401006", "T5 vertebra", "", (66, 41, 6)),
    ("vertebrae_T4", "73071006", "T4 vertebra", "", (29, 4, 225)),
    ("vertebrae_T3", "1626008", "T3 vertebra", "", (248, 223, 188)),
    ("vertebrae_T2", "53733008", "T2 vertebra", "", (211, 186, 151)),
    ("vertebrae_T1", "64864005", "T1 vertebra", "", (174, 149, 114)),
    ("vertebrae_C7", "87391001", "C7 vertebra", "", (208, 183, 148)),
    ("vertebrae_C6", "36054005", "C6 vertebra", "", (171, 146, 111)),
    ("vertebrae_C5", "36978003", "C5 vertebra", "", (134, 109, 74)),
    ("vertebrae_C4", "5329002", "C4 vertebra", "", (97, 72, 37)),
    ("vertebrae_C3", "113205007", "C3 vertebra", "", (60, 35, 0)),
    ("vertebrae_C2", "39976000", "C2 vertebra", "", (23, 254, 219)),
    ("vertebrae_C1", "14806007", "C1 vertebra", "", (242, 217, 182)),
    ("esophagus", "32849002", "Esophagus", "", (190, 90, 170)),
    ("trachea", "44567001", "Trachea", "", (0, 180, 200)),
    ("heart_myocardium", "74281007", "Myocardium", "", (200, 0, 20)),
    ("heart_atrium_left", "82471001", "Left atrium", "", (184, 0, 69)),
    ("heart_ventricle_left", "87878005", "Left ventricle of heart", "", (161, 0, 92)),
    ("heart_atrium_right", "73829009", "Right atrium", "", (136, 0, 51)),
    ("heart_ventricle_right", "53085002", "Right ventricle of heart", "", (119, 0, 68)),
    ("pulmonary_artery", "81040000", "Pulmonary artery", "", (180, 0, 0)),
    ("brain", "12738006", "Brain", "", (216, 54, 149)),
    ("iliac_artery_left", "73634005", "Common iliac artery", "L", (218, 0, 0)),
    ("iliac_artery_right", "73634005", "Common iliac artery", "R", (162, 0, 0)),
    ("iliac_vena_left", "46027005", "Common iliac vein", "L", (0, 92, 230)),
    ("iliac_vena_right", "46027005", "Common iliac vein", "R", (0, 68, 170)),
    ("small_bowel", "30315005", "Small Intestine", "", (160, 60, 180)),
    ("duodenum", "38848004", "Duodenum", "", (170, 80, 190)),
    ("colon", "71854001", "Colon", "", (150, 40, 170)),
    ("rib_left_1", "48535007", "First rib", "L", (214, 54, 216)),
    ("rib_left_2", "78247007", "Second rib", "L", (181, 54, 216)),
    ("rib_left_3", "25888004", "Third rib", "L", (216, 54, 162)),
    ("rib_left_4", "25523003", "Fourth rib", "L", (54, 121, 216)),
    ("rib_left_5", "15339008", "Fifth rib", "L", (54, 216, 146)),
    ("rib_left_6", "59558009", "Sixth rib", "L", (121, 216, 54)),
    ("rib_left_7", "24915002", "Seventh rib", "L", (149, 54, 216)),
    ("rib_left_8", "5953002", "Eighth rib", "L", (216, 81, 54)),
    ("rib_left_9", "22565002", "Ninth rib", "L", (216, 54, 167)),
    ("rib_left_10", "77644006", "Tenth rib", "L", (54, 146, 216)),
    ("rib_left_11", "58830002", "Eleventh rib", "L", (158, 253, 91)),
    ("rib_left_12", "43993008", "Twelfth rib", "L", (216, 54, 86)),
    ("rib_right_1", "48535007", "First rib", "R", (91, 158, 253)),
    ("rib_right_2", "78247007", "Second rib", "R", (211, 216, 54)),
    ("rib_right_3", "25888004", "Third rib", "R", (216, 54, 59)),
    ("rib_right_4", "25523003", "Fourth rib", "R", (216, 54, 67)),
    ("rib_right_5", "15339008", "Fifth rib", "R", (157, 216, 54)),
    ("rib_right_6", "59558009", "Sixth rib", "R", (216, 54, 189)),
    ("rib_right_7", "24915002", "Seventh rib", "R", (216, 54, 132)),
    ("rib_right_8", "5953002", "Eighth rib", "R", (216, 203, 54)),
    ("rib_right_9", "22565002", "Ninth rib", "R", (216, 197, 54)),
    ("rib_right_10", "77644006", "Tenth rib", "R", (216, 159, 54)),
    ("rib_right_11", "58830002", "Eleventh rib", "R", (54, 135, 216)),
    ("rib_right_12", "43993008", "Twelfth rib", "R", (181, 216, 54)),
    ("humerus_left", "85050009", "Humerus", "L", (71, 62, 248)),
    ("humerus_right", "85050009", "Humerus", "R", (115, 46, 184)),
    ("scapula_left", "79601000", "Scapula", "L", (253, 230, 195)),
    ("scapula_right", "79601000", "Scapula", "R", (187, 170, 144)),
    ("clavicula_left", "51299004", "Clavicle", "L", (255, 236, 201)),
    ("clavicula_right", "51299004", "Clavicle", "R", (191, 174, 149)),
    ("femur_left", "71341001", "Femur", "L", (248, 212, 62)),
    ("femur_right", "71341001", "Femur", "R", (46, 184, 60)),
    ("hip_left", "29836001", "Hip", "L", (230, 248, 62)),
    ("hip_right", "29836001", "Hip", "R", (184, 46, 184)),
    ("sacrum", "54735007", "Sacrum", "", (100, 216, 54)),
    ("face", "89545001", "Face", "", (192, 216, 54)),
    ("gluteus_maximus_left", "181674001", "Gluteus maximus muscle", "L", (253, 115, 34)),
    ("gluteus_maximus_right", "181674001", "Gluteus maximus muscle", "R", (187, 85, 26)),
    ("gluteus_medius_left", "78333006", "Gluteus medius muscle", "L", (255, 126, 46)),
    ("gluteus_medius_right", "78333006", "Gluteus medius muscle", "R", (196, 94, 34)),
    ("gluteus_minimus_left", "75297007", "Gluteus minimus muscle", "L", (255, 138, 57)),
    ("gluteus_minimus_right", "75297007", "Gluteus minimus muscle", "R", (204, 102, 42)),
    ("autochthon_left", "244849004", "Deep muscle of back", "L", (241, 126, 57)),
    ("autochthon_right", "244849004", "Deep muscle of back", "R", (178, 94, 42)),
    ("iliopsoas_left", "68455001", "Iliopsoas muscle", "L", (230, 115, 46)),
    ("iliopsoas_right", "68455001", "Iliopsoas muscle", "R", (170, 85, 34)),
    ("urinary_bladder", "89837001", "Urinary bladder", "", (54, 94, 216)),
)

# Anatomical structures that came with TotalSegmentator v2.
TOTALSEGMENTATOR_V2_ROWS: tuple[Row, ...] = (
    ("thyroid_gland", "69748006", "Thyroid gland", "", (250, 210, 60)),
    ("prostate", "41216001", "Prostate", "", (91, 253, 156)),
    ("vertebrae_S1", "65985001", "S1 vertebra", "", (205, 180, 145)),
    ("heart", "80891009", "Heart", "", (180, 0, 40)),
    ("pulmonary_vein", "122972007", "Pulmonary vein", "", (37, 107, 237)),
    ("brachiocephalic_trunk", "12691009", "Brachiocephalic artery", "", (190, 10, 10)),
    ("subclavian_artery_right", "36765005", "Subclavian artery", "R", (162, 26, 26)),
    ("subclavian_artery_left", "36765005", "Subclavian artery", "L", (218, 34, 34)),
    ("common_carotid_artery_right", "32062004", "Common carotid artery", "R", (170, 17, 17)),
    ("common_carotid_artery_left", "32062004", "Common carotid artery", "L", (230, 23, 23)),
    ("brachiocephalic_vein_left", "8887007", "Brachiocephalic vein", "L", (0, 92, 241)),
    ("brachiocephalic_vein_right", "8887007", "Brachiocephalic vein", "R", (0, 68, 178)),
    ("atrial_appendage_left", "68786006", "Auricular appendage", "L", (68, 248, 62)),
    ("superior_vena_cava", "48345005", "Superior vena cava", "", (74, 144, 18)),
    ("spinal_cord", "2748008", "Spinal cord", "", (255, 215, 0)),
    ("skull", "89546000", "Skull", "", (245, 225, 200)),
    ("sternum", "56873002", "Sternum", "", (215, 195, 165)),
    ("costal_cartilages", "50016007", "Costal cartilage", "", (250, 220, 190)),
)

# Whole organs for chest CT, and what a chest radiograph shows as one.
CHEST: tuple[Row, ...] = (
    ("lung_left", "39607008", "Lung", "L", (71, 200, 244)),
    ("lung_right", "39607008", "Lung", "R", (63, 150, 207)),
    ("spine", "421060004", "Spine", "", (226, 202, 134)),
    ("cardiomediastinum", "72410000", "Mediastinum", "", (214, 70, 80)),
    ("airways", "89187006", "Airway structure", "", (0, 220, 160)),
)

# Morphologically altered structures, each with the region it lies in.
ALTERED: tuple[AlteredRow, ...] = (
    ("kidney_cyst_left", "367643001", "SCT", "Cyst", "", (83, 175, 221), ("64033007", "Kidney", "L")),
    ("kidney_cyst_right", "367643001", "SCT", "Cyst", "", (71, 139, 173), ("64033007", "Kidney", "R")),
    ("nodule", "27925004", "SCT", "Nodule", "", (255, 90, 0), ("39607008", "Lung", "")),
    ("ground_glass_opacity", "112120", "DCM", "Ground glass opacity", "", (250, 200, 90), ("39607008", "Lung", "")),
    ("consolidation", "95436008", "SCT", "Pulmonary consolidation", "", (200, 60, 160), ("39607008", "Lung", "")),
)
